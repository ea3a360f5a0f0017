"""How near one set of pictures is to another: PSNR, SSIM, and a Frechet distance.

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


def frechet_distance(features: Tensor, references: Tensor) -> float:
    """Between two clouds of feature vectors [N, D] and [M, D], each taken for a Gaussian:
    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (arXiv:1706.08500, whose FID has Inception's
    features: this has not, so call it by its own name)."""
    one, other = features.double(), references.double()
    means = (one.mean(0) - other.mean(0)).square().sum()
    first, second = torch.cov(one.T), torch.cov(other.T)
    # The trace of (C1 C2)^(1/2) is that of the symmetric (C1^(1/2) C2 C1^(1/2))^(1/2).
    root = _root(first)
    crossed = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    return float(means + first.trace() + second.trace() - 2 * crossed)


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _window() -> Tensor:
    places = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    line = torch.exp(-places.square() / (2 * SIGMA**2))
    square = line[:, None] * line[None]
    return (square / square.sum())[None, None]
