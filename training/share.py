"""Several processes that train one model: who takes which batches, and what they owe each other.

Knows not how they talk: `process_group.py` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import nn

T = TypeVar("T")


class Parted(Exception):
    """Processes that trained together do not any more: one died, or read another checkpoint.

    What was learned since the last checkpoint is lost; all of them may begin again from there.
    """


class Share(Protocol):
    """Of the batches of a step: process `rank` of `count` takes each `count`-th one.

    All processes call the methods in the same order, and all of them raise Parted where one is
    missing.
    """

    @property
    def rank(self) -> int: ...

    @property
    def count(self) -> int: ...

    def reduce(self, learned: Sequence[nn.Parameter], loss: float) -> float:
        """Makes of every process's gradients their sum over all; the sum of the losses."""
        ...

    def agree(self, word: T) -> T:
        """What process 0 says. The others wait for it."""
        ...


@dataclass(frozen=True)
class Alone:
    """One process that trains a model: all batches are its own, and its word is the last."""

    rank: int = 0
    count: int = 1

    def reduce(self, learned: Sequence[nn.Parameter], loss: float) -> float:
        return loss

    def agree(self, word: T) -> T:
        return word


ALONE = Alone()
