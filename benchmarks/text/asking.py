"""What a contender is asked and what it tells: the same for all of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Ask:
    """One stream. `at_s`: when it is sent, after the scenario's start."""

    prompt: tuple[int, ...]
    max_tokens: int
    at_s: float = 0.0
    schema: str | None = None  # JSON Schema that the answer is held to
    cached: bool = False  # the contender may use what it knows of earlier prompts
    temperature: float = 0.0

    def as_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class Told:
    """When each token came, in seconds after the scenario's start."""

    sent_s: float
    tokens_s: tuple[float, ...] = field(repr=False)

    @property
    def first_s(self) -> float:
        return self.tokens_s[0] - self.sent_s

    @property
    def gaps_s(self) -> list[float]:
        pairs = zip(self.tokens_s, self.tokens_s[1:], strict=False)
        return [later - earlier for earlier, later in pairs]


class Contender(Protocol):
    name: str
    quality: str  # KL class: what its tokens are worth

    def run(self, asks: list[Ask]) -> list[Told]:
        """All of them at once; returns when the last has ended."""

    def memory_mib(self) -> float:
        """Resident, of all its processes."""


def tokens_per_s(told: list[Told]) -> float:
    """Of all streams together, prompts included in the time."""
    tokens = sum(len(one.tokens_s) for one in told)
    return tokens / max(one.tokens_s[-1] for one in told)
