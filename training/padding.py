"""Rows of token ids of many lengths -> one padded tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

IGNORED = -100  # what torch's cross entropy leaves out


def padded(rows: Sequence[Sequence[int]], filler: int = 0) -> Tensor:
    """int64 [B, longest], padded on the right."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows])


def attention_of(rows: Sequence[Sequence[int]]) -> Tensor:
    """One where there is a token."""
    return padded([[1] * len(row) for row in rows])
