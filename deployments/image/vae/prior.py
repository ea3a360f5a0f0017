"""Where a VAE's latents lie: what is drawn from it, the decoder makes pictures of.

A Gaussian with a low-rank covariance and a diagonal, fitted to latents of the training pictures
(`latent_prior.safetensors`):

    z = mean + g @ components + residual * n,   g and n standard normal

Without that file the standard normal distribution of scaled latents, which VAEs are trained
towards and large ones are scaled to (arXiv:1312.6114, arXiv:2112.10752 G).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from bestiary.errors import KernelError
from deployments.image.drawing import Draws
from deployments.image.pixels import Floats

PRIOR_FILE = "latent_prior.safetensors"
Shape = tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True, slots=True)
class LatentPrior:
    """Of unscaled latents, flat: D is their size."""

    shape: Shape
    mean: Floats  # [D]
    components: Floats  # [K, D], each as long as its standard deviation
    residual: Floats  # [D], standard deviations of what the components leave over

    def sample(
        self, draws: Draws, temperature: float = 1.0, truncation: float | None = None
    ) -> Floats:
        """[channels, height, width]. `temperature` scales all that is drawn."""
        along = draws.normal((len(self.components),), truncation)
        beside = draws.normal((len(self.mean),), truncation)
        spread = along @ self.components + beside * self.residual
        drawn: Floats = (self.mean + np.float32(temperature) * spread).astype(np.float32)
        return drawn.reshape(self.shape)

    def near(self, latent: Floats, strength: float, draws: Draws) -> Floats:
        """A step of `strength` from a latent, after which it is distributed as before.

        At 1 nothing of it is left. (The proposal of preconditioned Crank-Nicolson,
        arXiv:1202.0709.)
        """
        mean = self.mean.reshape(self.shape)
        kept = np.float32(math.sqrt(1 - strength**2)) * (latent - mean)
        moved: Floats = (mean + kept + np.float32(strength) * (self.sample(draws) - mean)).astype(
            np.float32
        )
        return moved


def load_prior(folder: Path, shape: Shape, scaling: float, shift: float) -> LatentPrior:
    """Raises KernelError for a file that is not of this model."""
    size = math.prod(shape)
    path = folder / PRIOR_FILE
    if not path.is_file():
        return LatentPrior(
            shape,
            mean=np.full(size, shift, np.float32),
            components=np.zeros((0, size), np.float32),
            residual=np.full(size, 1 / scaling, np.float32),
        )
    try:
        stored = {name: value.astype(np.float32) for name, value in load_file(path).items()}
        prior = LatentPrior(shape, stored["mean"], stored["components"], stored["residual"])
    except (OSError, SafetensorError, KeyError) as error:
        raise KernelError(f"{path} cannot be read: {error}") from error
    if (prior.mean.shape, prior.residual.shape, prior.components.shape[1:]) != ((size,),) * 3:
        raise KernelError(f"{path} is not of latents of {list(shape)}")
    return prior
