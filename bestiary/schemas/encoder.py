"""The encoder family: texts in; vectors, words, labels, scores or attention out.

Every request but `ExplainRequest` takes a batch of 1..2048 inputs. What a text must be (not
empty, within the model's length, one mask) only the model's tokenizer knows: the replica says
so with InvalidRequest or ContextOverflow, whose message names the input's number.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bestiary.schemas.base import Frozen
from bestiary.schemas.text import EngineTimings

MAX_INPUTS = 2048
MAX_TOP_K = 100
MAX_EXPLAINED_TOKENS = 128  # attention grows with their square
MAX_TOKEN_VECTORS = 32768  # tokens of one TokenEmbeddingRequest: 50 MB at 384 dimensions

Pair = tuple[str, str]
Offset = tuple[int, int]  # characters of the input, start and end; (0, 0) for special tokens


class Pooling(StrEnum):
    """How the vectors of tokens become one of a text."""

    MEAN = "mean"  # of all tokens
    CLS = "cls"  # the first token's
    POOLER = "pooler"  # the first token's, through BERT's own dense layer and tanh


class EncoderRequest(Frozen):
    """What all requests of the family have."""

    request_id: str
    truncate: bool = False  # False: an input over the limit is a ContextOverflow
    deadline_s: Annotated[float, Field(gt=0)] | None = None


class EmbeddingRequest(EncoderRequest):
    """Each input is a text, or token ids of the model's own tokenizer."""

    inputs: Annotated[tuple[str | tuple[int, ...], ...], Field(min_length=1, max_length=MAX_INPUTS)]
    dimensions: Annotated[int, Field(ge=1)] | None = None  # the first ones, normalised again
    pooling: Pooling | None = None  # None: the model's own


class TokenEmbeddingRequest(EncoderRequest):
    """At most MAX_TOKEN_VECTORS tokens in all; over it an InvalidRequest."""

    inputs: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_INPUTS)]


class FillMaskRequest(EncoderRequest):
    """Exactly one mask in each text: `[MASK]`, or the tokenizer's own.

    Another number is an InvalidRequest that says how many were found.
    """

    inputs: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_INPUTS)]
    top_k: Annotated[int, Field(ge=1, le=MAX_TOP_K)] = 5


class NextSentenceRequest(EncoderRequest):
    """Does the second text of each pair follow the first?"""

    pairs: Annotated[tuple[Pair, ...], Field(min_length=1, max_length=MAX_INPUTS)]


class ClassifyRequest(EncoderRequest):
    """Each input is a text, or a pair of them."""

    inputs: Annotated[tuple[str | Pair, ...], Field(min_length=1, max_length=MAX_INPUTS)]


class TokenClassifyRequest(EncoderRequest):
    inputs: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_INPUTS)]


class RerankRequest(EncoderRequest):
    """`truncate` cuts documents; a cross-encoder's query is never cut."""

    query: str
    documents: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_INPUTS)]
    top_n: Annotated[int, Field(ge=1)] | None = None  # None: all


class SimilarityRequest(EncoderRequest):
    pairs: Annotated[tuple[Pair, ...], Field(min_length=1, max_length=MAX_INPUTS)]


class ExplainRequest(EncoderRequest):
    """One text or pair of at most MAX_EXPLAINED_TOKENS tokens, which `truncate` cuts to."""

    text: str
    text_pair: str | None = None


@dataclass(frozen=True, slots=True)
class EncoderUsage:
    """What all results of the family say beside their answer.

    Both tuples have one entry per input. A reranker that embeds counts the query with the
    first document, a cross-encoder with each.
    """

    prompt_tokens: tuple[int, ...]
    truncated: tuple[bool, ...]
    timings: EngineTimings


@dataclass(frozen=True, slots=True)
class EmbeddingResult:
    """`vectors` is float32 [inputs, dimensions], each row of unit length."""

    vectors: NDArray[np.float32]
    prompt_tokens: tuple[int, ...]  # per input
    truncated: tuple[bool, ...]  # per input
    timings: EngineTimings


@dataclass(frozen=True, slots=True)
class TokenVectors:
    """One text, special tokens included. `vectors` is float32 [tokens, width], as they are."""

    tokens: tuple[str, ...]
    token_ids: tuple[int, ...]
    offsets: tuple[Offset, ...]
    vectors: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TokenEmbeddingResult:
    texts: tuple[TokenVectors, ...]  # one per input
    usage: EncoderUsage


@dataclass(frozen=True, slots=True)
class MaskCandidate:
    token: str  # as the vocabulary has it, for instance `##ing`
    token_id: int
    score: float  # probability, 0..1
    sequence: str  # the text with the candidate in the mask's place


@dataclass(frozen=True, slots=True)
class FillMaskResult:
    candidates: tuple[tuple[MaskCandidate, ...], ...]  # per input, best first
    usage: EncoderUsage


@dataclass(frozen=True, slots=True)
class NextSentenceResult:
    probabilities: tuple[float, ...]  # per pair: that the second follows the first
    usage: EncoderUsage


@dataclass(frozen=True, slots=True)
class LabelScore:
    label: str
    score: float  # 0..1; of one label they sum to 1, unless the model gives several at once


@dataclass(frozen=True, slots=True)
class ClassifyResult:
    labels: tuple[tuple[LabelScore, ...], ...]  # per input, best first, every label of the model
    usage: EncoderUsage


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """`text` is the input from character `start` to `end`."""

    label: str  # without B- and I-
    score: float  # mean probability of its words' labels
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class TokenClassifyResult:
    spans: tuple[tuple[TokenSpan, ...], ...]  # per input, in the order of the text
    usage: EncoderUsage


@dataclass(frozen=True, slots=True)
class RankedDocument:
    index: int  # among the documents of the request
    relevance_score: float  # cosine of a model that embeds, 0..1 of a cross-encoder


@dataclass(frozen=True, slots=True)
class RerankResult:
    results: tuple[RankedDocument, ...]  # best first
    usage: EncoderUsage  # per document


@dataclass(frozen=True, slots=True)
class SimilarityResult:
    scores: tuple[float, ...]  # per pair, cosine -1..1
    usage: EncoderUsage  # per pair: both texts' tokens, and whether either was cut


@dataclass(frozen=True, slots=True)
class ExplainResult:
    """BERT's three inputs and what each head looked at.

    `attention` is float32 [layers, heads, tokens, tokens]; each row sums to 1, over the
    tokens that the row's token looked at.
    """

    tokens: tuple[str, ...]
    token_ids: tuple[int, ...]
    segment_ids: tuple[int, ...]
    position_ids: tuple[int, ...]
    attention: NDArray[np.float32]
    usage: EncoderUsage  # of one input
