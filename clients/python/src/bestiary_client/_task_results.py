"""What callers get of a task. Plain frozen values; numbers in lists, which need no library.

`truncated` says of each input whether it was cut to the model's length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, overload

from bestiary_client._heat import Matrix, heat
from bestiary_client._receipts import LatencyReceipt
from bestiary_client._results import Usage, Vector

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Results(Sequence[T_co], Generic[T_co]):
    """One result per input, in order, and of `rerank` one per document, best first.

    A sequence of them itself. `model` is the one that answered.
    """

    model: str
    items: tuple[T_co, ...]
    usage: Usage | None
    request_id: str | None = None
    receipt: LatencyReceipt | None = None

    @overload
    def __getitem__(self, index: int) -> T_co: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T_co]: ...
    def __getitem__(self, index: int | slice) -> T_co | Sequence[T_co]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True)
class MaskCandidate:
    """`token` is as the vocabulary has it, `sequence` the text with it in the mask's place."""

    token: str
    token_id: int
    score: float  # probability
    sequence: str


@dataclass(frozen=True)
class FilledMask:
    candidates: tuple[MaskCandidate, ...]  # best first
    truncated: bool


@dataclass(frozen=True)
class NextSentence:
    probability: float  # that the second text follows the first
    is_next: bool
    truncated: bool


@dataclass(frozen=True)
class LabelScore:
    label: str
    score: float


@dataclass(frozen=True)
class Classification:
    """`label` and `score` are the best one's."""

    label: str
    score: float
    labels: tuple[LabelScore, ...]  # all of the model's, best first
    truncated: bool


@dataclass(frozen=True)
class Span:
    """`text` is the input's from character `start` to `end`."""

    label: str
    score: float
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class TokenSpans:
    spans: tuple[Span, ...]  # in the order of the text
    truncated: bool


@dataclass(frozen=True)
class TokenVectors:
    """One vector a token, special tokens included, not normalised."""

    tokens: tuple[str, ...]
    token_ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]  # in characters; (0, 0) of a special token
    vectors: tuple[Vector, ...]
    truncated: bool


@dataclass(frozen=True)
class RankedDocument:
    index: int  # among the documents that were sent
    relevance_score: float  # cosine of a model that embeds, 0..1 of a cross-encoder
    truncated: bool
    document: str | None = None  # where it was asked for


@dataclass(frozen=True)
class Similarity:
    score: float  # cosine, -1..1
    truncated: bool


@dataclass(frozen=True)
class Explanation:
    """What BERT adds up of each token, and where each head looked.

    `attention[layer][head][from][to]`; each row sums to 1.
    """

    model: str
    tokens: tuple[str, ...]
    token_ids: tuple[int, ...]
    segment_ids: tuple[int, ...]
    position_ids: tuple[int, ...]
    attention: list[list[Matrix]]
    truncated: bool
    usage: Usage | None = None
    request_id: str | None = None
    receipt: LatencyReceipt | None = None

    def weights(self, layer: int, head: int | None = None) -> Matrix:
        """[from][to] of one head, or the mean of the layer's. Raises IndexError."""
        heads = self.attention[layer]
        if head is not None:
            return heads[head]
        return [
            [sum(cell) / len(heads) for cell in zip(*rows, strict=True)]
            for rows in zip(*heads, strict=True)
        ]

    def heat(self, layer: int, head: int | None = None, width: int | None = None) -> str:
        """`weights` as plain text: a row for each token that looks. Raises IndexError."""
        return heat(self.tokens, self.tokens, self.weights(layer, head), width)


@dataclass(frozen=True)
class CrossAttention:
    """Where the decoder looked: `weights[target][source]`, each row sums to 1.

    Tokens are text, with a space in front where a word begins.
    """

    source_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]
    source_token_ids: tuple[int, ...]
    target_token_ids: tuple[int, ...]
    weights: Matrix

    def heat(self, width: int | None = None) -> str:
        """As plain text: a row for each token that was written."""
        return heat(self.target_tokens, self.source_tokens, self.weights, width)


@dataclass(frozen=True)
class Rewriting:
    """What one text became."""

    text: str
    finish_reason: str  # "stop", or "length" where `max_tokens` cut it off
    truncated: bool
    attention: CrossAttention | None = None  # where it was asked for


@dataclass(frozen=True)
class RewriteDelta:
    """The next piece of the text that input `index` becomes."""

    index: int
    text: str


@dataclass(frozen=True)
class RewriteEnd:
    """Input `index` is done; `rewriting` is the whole of it."""

    index: int
    rewriting: Rewriting


RewriteEvent = RewriteDelta | RewriteEnd
