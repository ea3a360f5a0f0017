"""The encoder engine: token ids in, a head's answers out, batch by batch. Blocks; knows no
request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from deployments.encoder.heads import Encoder, Head
from deployments.kernels.encoder_session import EncoderText
from deployments.kernels.token_batches import plan_batches

SMALLEST_NORM = np.float32(1e-12)
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class EncoderCounts:
    """What an engine has done since its start; only ever grows."""

    tokens: int = 0  # of texts
    padding_tokens: int = 0  # computed beside them, for nothing


class EncoderEngine:
    """`run` is for one thread at a time; `counts` for any."""

    def __init__(self, encoder: Encoder, max_batch_tokens: int) -> None:
        self.max_batch_tokens = max_batch_tokens
        self.counts = EncoderCounts()
        self._encoder = encoder

    def run(self, head: Head[Answer], texts: Sequence[EncoderText]) -> list[Answer]:
        """One answer for each text, in their order; texts of like length share a batch."""
        lengths = [len(text.ids) for text in texts]
        answers: dict[int, Answer] = {}
        for batch in plan_batches(lengths, self.max_batch_tokens):
            found = head.answer(self._encoder, [texts[position] for position in batch])
            answers.update(zip(batch, found, strict=True))
            self._count([lengths[position] for position in batch])
        return [answers[position] for position in range(len(texts))]

    def _count(self, lengths: Sequence[int]) -> None:
        tokens = sum(lengths)
        self.counts = EncoderCounts(
            self.counts.tokens + tokens,
            self.counts.padding_tokens + max(lengths) * len(lengths) - tokens,
        )


def shortened(vectors: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    """The first `dimensions` of each vector, of unit length again."""
    kept = vectors[:, :dimensions]
    norms = np.sqrt(np.einsum("ij,ij->i", kept, kept))
    unit: NDArray[np.float32] = kept / np.maximum(norms, SMALLEST_NORM)[:, np.newaxis]
    return unit
