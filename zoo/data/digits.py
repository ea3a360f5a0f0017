"""Handwritten digits, 8x8 pixels of 17 grey levels, out of scikit-learn's wheel.

They are the test half of UCI's Optical Recognition of Handwritten Digits: 1,797 of 13 writers.
Nobody's name is with them, so a writer may be on both sides of the split.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from zoo.data.held_out import drawn_for
from zoo.data.packages import SCIKIT_LEARN, archive_of, members

FILE = "sklearn/datasets/data/digits.csv.gz"
SIDE, LEVELS, CLASSES = 8, 17, 10
SHARE, SPLIT_SEED = 0.15, 29


@dataclass(frozen=True)
class Digits:
    """`levels` int64 [N, 64] in 0..16, row by row from the top; `labels` int64 [N]."""

    levels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def pictures(self) -> Tensor:
        """float32 [N, 1, 8, 8], -1 for no ink and 1 for level 16."""
        return pictures_of(self.levels)


def pictures_of(levels: Tensor) -> Tensor:
    """float32 [N, 1, 8, 8] in [-1, 1] of levels [N, 64]."""
    return levels.float().reshape(-1, 1, SIDE, SIDE) / 8 - 1


@cache
def digits() -> tuple[Digits, Digits]:
    """To train on and held out, by the hash of the pixels."""
    content = next(content for _, content in members(archive_of(SCIKIT_LEARN), FILE.__eq__))
    return parted(gzip.decompress(content).decode("ascii"))


def parted(table: str) -> tuple[Digits, Digits]:
    """A line of 64 levels and a label each."""
    sides: tuple[list[list[int]], list[list[int]]] = ([], [])
    for line in table.split():
        held_out = drawn_for(line, SPLIT_SEED) < SHARE
        sides[held_out].append([int(float(value)) for value in line.split(",")])
    training, held_out_ones = (_digits(rows) for rows in sides)
    return training, held_out_ones


def _digits(rows: list[list[int]]) -> Digits:
    values = torch.tensor(rows, dtype=torch.int64).reshape(-1, SIDE * SIDE + 1)
    return Digits(values[:, :-1], values[:, -1])
