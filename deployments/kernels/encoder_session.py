"""One open encoder: padded batches of token ids in, unit vectors out. Knows no text.

Sessions are thread-safe here: nothing is kept between runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from deployments.kernels import encoder_names as names


class EncoderSession:
    """Runs one batch at a time; which inputs share a batch is the engine's choice."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self.max_length = int(session.get_modelmeta().custom_metadata_map[names.POSITIONS])
        self.width: int = session.get_outputs()[0].shape[1]

    def run(self, inputs: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Token ids of each text -> float32 [texts, width], rows of unit length.

        Raises ValueError where a text is empty or longer than `max_length`.
        """
        lengths = np.array([len(ids) for ids in inputs], dtype=np.int32)
        if lengths.min() < 1 or lengths.max() > self.max_length:
            raise ValueError(f"texts must have 1..{self.max_length} tokens, not {lengths.tolist()}")
        padded = np.zeros((len(inputs), lengths.max()), dtype=np.int32)
        for row, ids in zip(padded, inputs, strict=True):
            row[: len(ids)] = ids
        feed = {
            names.IDS: padded,
            names.SEGMENTS: np.zeros_like(padded),
            names.LENGTHS: lengths,
        }
        vectors: NDArray[np.float32] = self._session.run([names.EMBEDDINGS], feed)[0]
        return vectors
