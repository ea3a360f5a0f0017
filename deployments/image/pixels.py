"""Bytes of pixels <-> the numbers that networks compute with: float32 in -1..1, channels first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deployments.image.decoding import Pixels

Floats = NDArray[np.float32]
HALF_RANGE = 127.5


def to_floats(pixels: Pixels) -> Floats:
    """[height, width, channels] -> [channels, height, width]."""
    floats = pixels.astype(np.float32) / np.float32(HALF_RANGE) - np.float32(1)
    return np.ascontiguousarray(floats.transpose(2, 0, 1))


def to_pixels(floats: Floats) -> Pixels:
    """[channels, height, width] -> [height, width, channels], rounded to the nearest."""
    scaled = (floats.clip(-1, 1) + 1) * HALF_RANGE
    return np.ascontiguousarray(np.rint(scaled).astype(np.uint8).transpose(1, 2, 0))
