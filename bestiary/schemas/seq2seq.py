"""The encoder-decoder family: texts in, texts out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bestiary.schemas.base import Frozen
from bestiary.schemas.text import EngineTimings, FinishReason

Seq2SeqTask = Literal["summarize", "translate"]
Language = Annotated[str, Field(pattern=r"^[a-z]{2}$")]  # ISO 639-1
MAX_INPUTS = 256
MAX_BEAMS = 16


class Decoding(Frozen):
    """How the output is chosen, in the words of transformers' `GenerationConfig`.

    None means the model's own default (its `generation_config.json`), and where it has
    none: one beam, length penalty 1, no n-gram rule, no early stopping. `temperature` 0
    is greedy, or beam search with more beams than one; beams are never sampled. `min_tokens`
    and `max_tokens` count the generated tokens, the end token included.
    """

    max_tokens: Annotated[int, Field(ge=1)] | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    num_beams: Annotated[int, Field(ge=1, le=MAX_BEAMS)] | None = None
    # A beam's score is its log probability over its length to this power.
    length_penalty: Annotated[float, Field(ge=-10, le=10)] | None = None
    no_repeat_ngram_size: Annotated[int, Field(ge=0, le=64)] | None = None  # 0: no such rule
    # True: stop at `num_beams` finished ones; False: when none can become better as it looks
    # now; "never": when none can become better at all.
    early_stopping: bool | Literal["never"] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    top_k: Annotated[int, Field(ge=0)] = 0  # 0: no limit
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None  # None: drawn

    @model_validator(mode="after")
    def _coherent(self) -> Decoding:
        if self.temperature > 0 and self.num_beams is not None and self.num_beams > 1:
            raise ValueError("beam search does not sample: give temperature 0 or num_beams 1")
        if (
            self.min_tokens is not None
            and self.max_tokens is not None
            and self.min_tokens > self.max_tokens
        ):
            raise ValueError("min_tokens is over max_tokens")
        return self


class Seq2SeqRequest(Frozen):
    """Each input is a text of its own; they are decoded alike.

    Languages belong to `translate` only. One that is left out is the model's, where all
    of its pairs agree on it.
    """

    request_id: str
    task: Seq2SeqTask
    inputs: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_INPUTS)]
    source_language: Language | None = None
    target_language: Language | None = None
    decoding: Decoding = Decoding()
    truncate: bool = False  # False: an input over the limit is a ContextOverflow
    return_attention: bool = False
    deadline_s: Annotated[float, Field(gt=0)] | None = None  # from arrival at the replica

    @model_validator(mode="after")
    def _languages_of_a_translation(self) -> Seq2SeqRequest:
        named = self.source_language is not None or self.target_language is not None
        if named and self.task != "translate":
            raise ValueError("languages belong to task 'translate'")
        return self


@dataclass(frozen=True, slots=True)
class CrossAttention:
    """Where the decoder looked: `weights` is float32 [target, source], each row sums to one.

    A Transformer's are the mean over the heads of its last decoder layer. Tokens are texts for
    people, a space in front where a word begins; what the vocabulary calls them, the ids tell.
    """

    source_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]  # the end token included, where it came
    source_token_ids: tuple[int, ...]
    target_token_ids: tuple[int, ...]
    weights: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Seq2SeqOutput:
    """What one input became."""

    text: str
    finish_reason: FinishReason  # stop or length
    prompt_tokens: int
    completion_tokens: int  # the end token included
    truncated: bool
    attention: CrossAttention | None = None


@dataclass(frozen=True, slots=True)
class Seq2SeqResult:
    """`outputs` in the order of the inputs."""

    outputs: tuple[Seq2SeqOutput, ...]
    timings: EngineTimings  # prefill: the encoder


@dataclass(frozen=True, slots=True)
class Seq2SeqChunk:
    """The next piece of one input's text.

    `text` never ends inside a character. The last chunk of an input carries `output`, whole;
    the last of the request carries `timings` too. Beam search has no pieces: its only chunk
    of an input is the last one.
    """

    index: int  # of the input
    text: str
    output: Seq2SeqOutput | None = None
    timings: EngineTimings | None = None
