"""Step caching of one picture: a prediction is used again while its input has hardly moved.

Knows no network. What it costs in quality, `benchmarks/image.py` measures.
"""

from __future__ import annotations

import numpy as np

from deployments.image.pixels import Floats

MOST_IN_A_ROW = 3


class StepCache:
    """`threshold`: the largest movement, as a share of the input's own size; 0: never reused."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._seen: Floats | None = None
        self._prediction: Floats | None = None
        self._in_a_row = 0

    def find(self, seen: Floats) -> Floats | None:
        """The kept prediction, if the network would see about the same now."""
        if self._threshold == 0 or self._seen is None or self._in_a_row == MOST_IN_A_ROW:
            return None
        moved = float(np.abs(seen - self._seen).mean())
        if moved > self._threshold * float(np.abs(self._seen).mean()):
            return None
        self._in_a_row += 1
        return self._prediction

    def keep(self, seen: Floats, prediction: Floats) -> None:
        if self._threshold:
            self._seen, self._prediction = seen, prediction
            self._in_a_row = 0
