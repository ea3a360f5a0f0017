"""What a diffusion model learns from: a picture with noise, at a time, and the velocity to guess.

Velocity (arXiv:2202.00512) with the min-SNR weight (arXiv:2303.09556), over DDPM's linear betas:
their last step leaves 0.6 % of a picture, little enough for every sampler to begin with noise
alone, and there is no sampler that they break.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from diffusers import DDPMScheduler
from torch import Tensor

TRAINING_STEPS = 1000
GAMMA = 5.0  # no weight is of more signal to noise than this

Guess = Callable[[Tensor, Tensor], Tensor]  # noised [B, ...] and times int64 [B] -> velocity


def scheduler_config(*, pixels: bool) -> Mapping[str, object]:
    """For any scheduler of diffusers. Pixels are clipped to [-1, 1] on the way, latents not."""
    return {
        "num_train_timesteps": TRAINING_STEPS,
        "beta_schedule": "linear",
        "beta_start": 1e-4,
        "beta_end": 0.02,
        "prediction_type": "v_prediction",
        "timestep_spacing": "trailing",
        "clip_sample": pixels,
    }


class Noising:
    """Draws times and noise, and weighs what was guessed."""

    def __init__(self, *, pixels: bool) -> None:
        self.scheduler = DDPMScheduler(**scheduler_config(pixels=pixels))
        signal = self.scheduler.alphas_cumprod
        ratio = signal / (1 - signal)  # signal to noise, by time
        self._weights = ratio.clamp(max=GAMMA) / (ratio + 1)

    def loss(self, clean: Tensor, guess: Guess, draw: torch.Generator) -> Tensor:
        """The weighed squared error of a batch [B, ...], a scalar."""
        times = spread_times(len(clean), draw)
        noise = torch.randn(clean.shape, generator=draw)
        noised = self.scheduler.add_noise(clean, noise, times)
        velocity = self.scheduler.get_velocity(clean, noise, times)
        errors = (guess(noised, times).float() - velocity).square().flatten(1).mean(1)
        return (errors * self._weights[times]).mean()


def spread_times(count: int, draw: torch.Generator) -> Tensor:
    """One from each of `count` equal parts of all times, in a random order: int64 [count]."""
    places = torch.arange(count) + torch.rand(count, generator=draw)
    times = (places * TRAINING_STEPS / count).long().clamp(max=TRAINING_STEPS - 1)
    return times[torch.randperm(count, generator=draw)]
