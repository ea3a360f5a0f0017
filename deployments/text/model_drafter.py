"""Guesses tokens with a cheaper build of the same model, in the row's own KV.

The draft graph reads the keys and values that the real one wrote and appends its own
behind them; the check writes over those. So drafting needs neither a prompt of its
own nor memory (self-speculation with a quantised twin).
"""

from __future__ import annotations

import numpy as np

from deployments.kernels.decoder_names import Graph
from deployments.text.decoder import Decoder
from deployments.text.speculation import RowSpeculation


class ModelDrafter:
    """Greedy: a guess is worth most where it is likeliest."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def begin_step(self) -> None:
        """See `Drafter`; it has nothing to read."""

    def draft(self, row: int, text: RowSpeculation, most: int) -> list[int]:
        """See `Drafter`."""
        found: list[int] = []
        past = len(text.tokens) - 1
        for length in range(past, past + most):
            token = np.array([[found[-1] if found else text.tokens[-1]]], np.int64)
            logits = self._decoder.run(row, token, np.array([length], np.int32), Graph.DRAFT)
            found.append(int(logits[0].argmax()))
        return found
