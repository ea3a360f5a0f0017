"""How much of a picture was lost: squared error, PSNR and SSIM. Values 0..1. Knows no model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deployments.image.decoding import Pixels

Doubles = NDArray[np.float64]
WINDOW, SIGMA = 11, 1.5  # Wang et al., 2004, doi:10.1109/TIP.2003.819861
STABLE_LUMA, STABLE_CONTRAST = 0.01**2, 0.03**2  # its C1 and C2


@dataclass(frozen=True, slots=True)
class Fidelity:
    mse: float
    psnr: float  # dB; infinite where nothing was lost
    ssim: float


def fidelity_of(made: Pixels, original: Pixels) -> Fidelity:
    """Both uint8 [height, width, channels]."""
    one, other = made.astype(np.float64) / 255, original.astype(np.float64) / 255
    mse = float(np.square(one - other).mean())
    psnr = math.inf if mse == 0 else -10 * math.log10(mse)
    return Fidelity(mse, psnr, ssim(one, other))


def ssim(one: Doubles, other: Doubles) -> float:
    """Mean over channels and places; the window lies inside, and is smaller in smaller pictures."""
    line = _window(min(WINDOW, *one.shape[:2]))
    means = _blurred(one, line), _blurred(other, line)
    spread = _blurred(one * one, line) - means[0] ** 2
    other_spread = _blurred(other * other, line) - means[1] ** 2
    together = _blurred(one * other, line) - means[0] * means[1]
    luma = (2 * means[0] * means[1] + STABLE_LUMA) / (means[0] ** 2 + means[1] ** 2 + STABLE_LUMA)
    structure = (2 * together + STABLE_CONTRAST) / (spread + other_spread + STABLE_CONTRAST)
    return float((luma * structure).mean())


def _window(size: int) -> Doubles:
    places = np.arange(size) - (size - 1) / 2
    line: Doubles = np.exp(-np.square(places) / (2 * SIGMA**2))
    line /= line.sum()
    return line


def _blurred(values: Doubles, line: Doubles) -> Doubles:
    """Down, then across: a Gaussian is a product of two."""
    views = np.lib.stride_tricks.sliding_window_view(values, len(line), axis=0)
    down = views @ line
    across = np.lib.stride_tricks.sliding_window_view(down, len(line), axis=1)
    blurred: Doubles = across @ line
    return blurred
