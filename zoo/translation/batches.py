"""Encoded pairs -> padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.translation.tokenizer import PAD_ID

IGNORED = -100  # what torch's cross entropy leaves out


@dataclass(frozen=True)
class Example:
    source: tuple[int, ...]
    target: tuple[int, ...]  # ends with the end token

    @property
    def length(self) -> int:
        return max(len(self.source), len(self.target))


@dataclass(frozen=True)
class Batch:
    sources: Tensor  # int64 [B, S], padded on the right
    lengths: Tensor  # int64 [B]
    labels: Tensor  # int64 [B, T], IGNORED where padded


def collate(examples: Sequence[Example]) -> Batch:
    return Batch(
        sources=padded([one.source for one in examples], PAD_ID),
        lengths=torch.tensor([len(one.source) for one in examples]),
        labels=padded([one.target for one in examples], IGNORED),
    )


def padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows])
