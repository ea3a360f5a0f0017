"""What a search over one input's outputs is, whether it follows one row or several beams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bestiary.schemas.text import FinishReason

Logits = NDArray[np.float32]  # [W, vocabulary]; may be written over
Weights = NDArray[np.float32]  # [W, source]


@dataclass(frozen=True, slots=True)
class Found:
    """The output that a search ends with. `tokens` include the end token, where it came."""

    tokens: tuple[int, ...]
    finish_reason: FinishReason
    attention: NDArray[np.float32] | None  # [tokens, source]


@dataclass(frozen=True, slots=True)
class Moved:
    """What one step did to a search."""

    order: Sequence[int] | None  # beam w goes on from what beam order[w] was; None: as they are
    token: int | None  # the new token, where there is one row and it will not be taken back
    found: Found | None  # the search is over


class Search(Protocol):
    """One input's rows. `step` is called after every run, until something is found."""

    @property
    def next_tokens(self) -> Sequence[int]:
        """Of each of W rows, for the next run."""
        ...

    def step(self, logits: Logits, attention: Weights | None) -> Moved:
        """Chooses from what the run gave. `attention` [W, S], where it is to be kept."""
        ...


def reason(tokens: Sequence[int], ends: Sequence[int]) -> FinishReason:
    return FinishReason.STOP if tokens and tokens[-1] in ends else FinishReason.LENGTH
