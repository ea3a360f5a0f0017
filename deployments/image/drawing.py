"""The random numbers of one picture, all from its seed: its company never changes them.

Philox is counter-based (Salmon et al., 2011, doi:10.1145/2063384.2063405), so that neighbouring
seeds have nothing in common. Knows numbers only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
# Up to it a point of the box is kept more often than one of the normal distribution is.
BOX_UP_TO = 1.0
_MANTISSA = 2**53
_PER_COUNT = 4  # numbers that numpy's Philox 4x64 gives before its counter moves on


class Draws:
    """In the order in which they are asked for."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.Generator(np.random.Philox(key=seed))

    def normal(self, shape: tuple[int, ...], truncation: float | None = None) -> Floats:
        """Standard normal; what lies beyond `truncation` (arXiv:1809.11096) is drawn again."""
        drawn = self._proposed(shape, truncation)
        if truncation is None:
            return drawn
        flat = drawn.reshape(-1)
        refused = self._refused(flat, truncation)
        while len(refused):
            again = self._proposed((len(refused),), truncation)
            flat[refused] = again
            refused = refused[self._refused(again, truncation)]
        return flat.reshape(shape)

    def whole(self, below: int) -> int:
        """0 to `below` - 1, all alike."""
        return int(self._generator.integers(below))

    def _proposed(self, shape: tuple[int, ...], truncation: float | None) -> Floats:
        if truncation is not None and truncation < BOX_UP_TO:
            box = self._generator.random(shape, np.float32) * 2 - 1
            scaled: Floats = (box * np.float32(truncation)).astype(np.float32)
            return scaled
        return self._generator.standard_normal(shape, np.float32)

    def _refused(self, values: Floats, truncation: float) -> NDArray[np.intp]:
        """Places of what is to be drawn again, so that the rest is normal within its bound."""
        if truncation < BOX_UP_TO:
            density = np.exp(-np.square(values) / 2)
            return np.flatnonzero(self._generator.random(len(values), np.float32) >= density)
        return np.flatnonzero(np.abs(values) > truncation)


def uniform_at(seed: int, place: int) -> float:
    """In [0, 1): the number of one place, whatever was drawn before it."""
    count, within = divmod(place, _PER_COUNT)
    bits = int(np.random.Philox(key=seed, counter=count).random_raw(within + 1)[-1])
    return (bits >> 11) / _MANTISSA
