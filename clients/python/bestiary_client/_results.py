"""What callers get. Plain frozen values; `receipt` is None where the platform sent none."""

from __future__ import annotations

from dataclasses import dataclass

from bestiary_client._receipt import Receipt


@dataclass(frozen=True)
class Usage:
    """In tokens. `cached_tokens` of the prompt came from the platform's prefix cache."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Candidate:
    index: int
    text: str
    finish_reason: str | None  # "stop" or "length"


@dataclass(frozen=True)
class Completion:
    """`model` is the one that answered, whatever name was asked for."""

    id: str
    model: str
    candidates: tuple[Candidate, ...]
    usage: Usage | None
    request_id: str | None = None
    receipt: Receipt | None = None

    @property
    def text(self) -> str:
        """The first candidate's."""
        return self.candidates[0].text


@dataclass(frozen=True)
class Embeddings:
    """`vectors` has one list of floats per text, in order, each of unit length."""

    model: str
    vectors: tuple[list[float], ...]
    prompt_tokens: int
    request_id: str | None = None
    receipt: Receipt | None = None


@dataclass(frozen=True)
class TokenCount:
    model: str
    count: int
    tokens: tuple[int, ...]  # ids in the model's own vocabulary
    request_id: str | None = None
    receipt: Receipt | None = None


@dataclass(frozen=True)
class Model:
    """One name that may be asked for, and what it stands for."""

    id: str
    kind: str | None = None  # "auto", "tier", "card" or "alias"
    family: str | None = None  # "text" or "encoder"
    tier: str | None = None
    card: str | None = None
    context_length: int | None = None  # tokens
    license: str | None = None


@dataclass(frozen=True)
class TextDelta:
    """The next piece of candidate `index`."""

    index: int
    text: str


@dataclass(frozen=True)
class CandidateEnd:
    index: int
    finish_reason: str


@dataclass(frozen=True)
class StreamEnd:
    """The last event of a stream: everything that came, put together."""

    completion: Completion


StreamEvent = TextDelta | CandidateEnd | StreamEnd
