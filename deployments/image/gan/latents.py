"""What a GAN's generator makes pictures of: points drawn from a normal distribution, between them,
and sums of them. Knows numbers only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deployments.image.drawing import Draws
from deployments.image.pixels import Floats

SMALLEST_SINE = 1e-4  # below it two directions are one


def latent_of(seed: int, width: int, truncation: float | None = None) -> Floats:
    """[width]."""
    return Draws(seed).normal((width,), truncation)


def class_of_seed(seed: int, width: int, classes: int) -> int:
    """For who names none: drawn after the seed's latent."""
    draws = Draws(seed)
    draws.normal((width,))
    return draws.whole(classes)


def summed(
    terms: Sequence[tuple[int, float]], width: int, truncation: float | None = None
) -> Floats:
    """Of seeds and weights."""
    total = np.zeros(width, np.float32)
    for seed, weight in terms:
        total += np.float32(weight) * latent_of(seed, width, truncation)
    return total


def along_the_sphere(first: Floats, last: Floats, share: float) -> Floats:
    """Spherical interpolation (arXiv:1609.04468): a straight line would pass near the middle,
    where a normal distribution of many dimensions has nothing."""
    lengths = float(np.linalg.norm(first)), float(np.linalg.norm(last))
    cosine = float(first @ last) / max(lengths[0] * lengths[1], 1e-12)
    angle = np.arccos(np.clip(cosine, -1, 1))
    sine = np.sin(angle)
    if sine < SMALLEST_SINE:
        weights = 1 - share, share
    else:
        weights = np.sin((1 - share) * angle) / sine, np.sin(share * angle) / sine
    between: Floats = (weights[0] * first + weights[1] * last).astype(np.float32)
    return between
