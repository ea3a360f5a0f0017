"""How near one picture is to another: PSNR and SSIM.

Knows no model. Pictures are float [N, C, H, W] in [-1, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

RANGE = 2.0  # from -1 to 1
WINDOW, SIGMA = 11, 1.5  # of SSIM, as its paper has them


def psnr(pictures: Tensor, references: Tensor) -> Tensor:
    """Peak signal to noise, dB, of each: float [N]. Infinite where both are the same."""
    error = (pictures - references).square().flatten(1).mean(1)
    return 10 * torch.log10(RANGE**2 / error)


def ssim(pictures: Tensor, references: Tensor) -> Tensor:
    """Structural similarity of each (Wang et al., 2004), mean over colours and places: float [N].

    A Gaussian window of 11 pixels, only where it lies inside: 11 pixels a side at least.
    """
    pictures, references = pictures + 1, references + 1  # the paper's begin at black, 0
    first, second = (RANGE * 0.01) ** 2, (RANGE * 0.03) ** 2
    channels = pictures.shape[1]
    window = _window().expand(channels, 1, WINDOW, WINDOW).to(pictures)

    def blurred(values: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(values, window, groups=channels)

    one, other = blurred(pictures), blurred(references)
    one_spread = blurred(pictures.square()) - one.square()
    other_spread = blurred(references.square()) - other.square()
    together = blurred(pictures * references) - one * other
    luminance = (2 * one * other + first) / (one.square() + other.square() + first)
    structure = (2 * together + second) / (one_spread + other_spread + second)
    return (luminance * structure).flatten(1).mean(1)


def _window() -> Tensor:
    places = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    line = torch.exp(-places.square() / (2 * SIGMA**2))
    square = line[:, None] * line[None]
    return (square / square.sum())[None, None]
