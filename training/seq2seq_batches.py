"""Encoded pairs of source and target -> padded batches, and the loss of what is said to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.padding import IGNORED, padded


@dataclass(frozen=True)
class EncodedPair:
    source: tuple[int, ...]
    target: tuple[int, ...]  # ends with the end token

    @property
    def length(self) -> int:
        return max(len(self.source), len(self.target))


@dataclass(frozen=True)
class PairBatch:
    sources: Tensor  # int64 [B, S], padded on the right
    lengths: Tensor  # int64 [B]
    labels: Tensor  # int64 [B, T], IGNORED where padded

    def to(self, device: str) -> PairBatch:
        return PairBatch(self.sources.to(device), self.lengths.to(device), self.labels.to(device))


def collate(pairs: Sequence[EncodedPair], pad: int) -> PairBatch:
    return PairBatch(
        sources=padded([one.source for one in pairs], pad),
        lengths=torch.tensor([len(one.source) for one in pairs]),
        labels=padded([one.target for one in pairs], IGNORED),
    )


def shifted(labels: Tensor, first: int, pad: int) -> Tensor:
    """What the decoder reads while it should say `labels`."""
    read = labels.new_full(labels.shape, first)
    read[:, 1:] = labels[:, :-1]
    return read.masked_fill(read == IGNORED, pad)


def cross_entropy(
    logits: Tensor, labels: Tensor, smoothing: float = 0.0, *, reduction: str = "mean"
) -> Tensor:
    """Of logits [B, T, V], over the labels that are not IGNORED. Smoothing: arXiv:1512.00567."""
    return nn.functional.cross_entropy(
        logits.float().flatten(0, 1),
        labels.flatten(),
        ignore_index=IGNORED,
        label_smoothing=smoothing,
        reduction=reduction,
    )
