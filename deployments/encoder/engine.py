"""The encoder engine: token ids in, vectors out, batch by batch. Blocks; knows no request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deployments.encoder.batches import plan_batches

SMALLEST_NORM = np.float32(1e-12)


class Session(Protocol):
    """An open encoder: `deployments.kernels.encoder_session`."""

    width: int

    def run(self, inputs: Sequence[Sequence[int]]) -> NDArray[np.float32]: ...


class EncoderEngine:
    def __init__(self, session: Session, max_batch_tokens: int) -> None:
        self.width = session.width
        self.max_batch_tokens = max_batch_tokens
        self._session = session

    def embed(self, inputs: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """float32 [inputs, width], rows of unit length, in the order of the inputs."""
        vectors = np.empty((len(inputs), self.width), dtype=np.float32)
        for batch in plan_batches([len(ids) for ids in inputs], self.max_batch_tokens):
            vectors[batch] = self._session.run([inputs[position] for position in batch])
        return vectors


def shortened(vectors: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    """The first `dimensions` of each vector, of unit length again."""
    kept = vectors[:, :dimensions]
    norms = np.sqrt(np.einsum("ij,ij->i", kept, kept))
    unit: NDArray[np.float32] = kept / np.maximum(norms, SMALLEST_NORM)[:, np.newaxis]
    return unit
