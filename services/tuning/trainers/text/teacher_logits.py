"""Learns how likely a teacher finds each token, beside the token that is there."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel

from services.tuning.trainers.text.losses import cross_entropy, divergence, logits_at
from services.tuning.trainers.text.rows import Rows


class TeachersLogits:
    """An `Objective`: cross-entropy mixed with the divergence from a frozen teacher.

    Vocabularies are the same; a table may be padded, so the wider logits are cut.
    """

    def __init__(self, teacher: PreTrainedModel, temperature: float, share: float) -> None:
        self._teacher = teacher.requires_grad_(False)
        self._temperature = temperature
        self._share = share

    def __call__(self, logits: Tensor, rows: Rows) -> Tensor:
        with torch.no_grad():
            teacher = logits_at(self._teacher, rows)
        width = min(logits.shape[1], teacher.shape[1])
        apart = divergence(logits[:, :width], teacher[:, :width], self._temperature)
        return (1 - self._share) * cross_entropy(logits, rows) + self._share * apart
