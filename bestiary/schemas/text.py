"""The text family: prompts in, token chunks out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bestiary.schemas.base import Frozen

Role = Literal["system", "user", "assistant", "tool"]
MAX_STOP_SEQUENCES = 16
MAX_CANDIDATES = 16


class FinishReason(StrEnum):
    STOP = "stop"  # end-of-sequence token or a stop sequence
    LENGTH = "length"  # max_tokens, or the context is full


class ChatMessage(Frozen):
    role: Role
    content: str
    name: str | None = None


class Sampling(Frozen):
    """How tokens are chosen. `temperature` 0 is greedy."""

    max_tokens: Annotated[int, Field(ge=1)] | None = None  # None: up to the context
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0  # 0: no limit
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] = 1.0  # CTRL, arXiv:1909.05858
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Annotated[tuple[str, ...], Field(max_length=MAX_STOP_SEQUENCES)] = ()

    @model_validator(mode="after")
    def _no_empty_stop(self) -> Sampling:
        if any(not sequence for sequence in self.stop):
            raise ValueError("a stop sequence must not be empty")
        return self


class TextRequest(Frozen):
    """Exactly one of `messages`, `text` and `token_ids` is given."""

    request_id: str
    messages: tuple[ChatMessage, ...] | None = None  # rendered by the model's chat template
    text: str | None = None
    token_ids: tuple[int, ...] | None = None
    sampling: Sampling = Sampling()
    candidates: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] = 1  # OpenAI's n
    echo: bool = False  # repeat the prompt's text before the completion
    deadline_s: Annotated[float, Field(gt=0)] | None = None  # from arrival at the replica

    @model_validator(mode="after")
    def _one_prompt(self) -> TextRequest:
        given = [p for p in (self.messages, self.text, self.token_ids) if p is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of messages, text and token_ids")
        return self


@dataclass(frozen=True, slots=True)
class TextUsage:
    """In tokens, for one candidate."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0  # of prompt_tokens: taken from the prefix cache


@dataclass(frozen=True, slots=True)
class EngineTimings:
    """Where one request's time went inside a replica, in seconds.

    `total_s` is measured on its own, from arrival in the replica to the last
    chunk; the rest of it that no stage claims is the replica's overhead.
    """

    queue_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    total_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TextChunk:
    """The next piece of one candidate.

    `text` never ends inside a character and never holds part of a stop sequence.
    The last chunk of a candidate carries `finish_reason` and `usage`; the last of
    the request carries `timings` too.
    """

    candidate: int
    text: str
    token_ids: tuple[int, ...] = ()
    finish_reason: FinishReason | None = None
    usage: TextUsage | None = None
    timings: EngineTimings | None = None


class CountTokensRequest(Frozen):
    """Exactly one of `messages` and `text`."""

    messages: tuple[ChatMessage, ...] | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class TokenCount:
    token_ids: tuple[int, ...]

    @property
    def count(self) -> int:
        return len(self.token_ids)
