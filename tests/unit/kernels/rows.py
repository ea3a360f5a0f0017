"""Plain ways to drive a decoder session in tests."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from deployments.kernels.decoder_session import DecoderSession

Logits = NDArray[np.float32]


def tokens(count: int, seed: int = 0, vocabulary: int = 160) -> list[int]:
    found: list[int] = np.random.default_rng(seed).integers(0, vocabulary, count).tolist()
    return found


def reference(model: PreTrainedModel, ids: list[int]) -> Logits:
    """Logits of torch at each position: [tokens, vocabulary]."""
    with torch.no_grad():
        logits: Logits = model(torch.tensor([ids])).logits[0].float().numpy()
    return logits


def feed(
    decoder: DecoderSession, row: int, ids: list[int], past: int = 0, chunk: int | None = None
) -> Logits:
    """Appends ids to a row, in chunks where asked; logits [vocabulary] of the last one."""
    step = chunk or len(ids)
    logits = np.zeros(decoder.vocabulary, np.float32)
    for start in range(0, len(ids), step):
        part = np.array([ids[start : start + step]])
        logits = decoder.run(row, part, np.array([past + start], np.int32))[0].copy()
    return logits


def decode(decoder: DecoderSession, ids: list[int], past: list[int]) -> Logits:
    """One token for each row from 0 on; logits [rows, vocabulary]."""
    column = np.array(ids)[:, np.newaxis]
    return decoder.run(0, column, np.array(past, np.int32)).copy()
