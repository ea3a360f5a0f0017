"""What a diffusion model learns from: a picture with noise, at a time, and what it is to guess.

Noise, velocity (arXiv:2202.00512) or the clean picture, as the noise scheduler's config says, with
the min-SNR weight (arXiv:2303.09556). Knows no network and no prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from diffusers import DDPMScheduler
from torch import Tensor

GAMMA = 5.0  # no weight is of more signal to noise than this
TINY = 1e-8  # a last step without any signal divides by nothing

Guess = Callable[[Tensor, Tensor], Tensor]  # noised [B, ...] and times int64 [B] -> prediction
Target = Callable[[DDPMScheduler, Tensor, Tensor, Tensor], Tensor]

# By `prediction_type`: what is guessed of clean, noise and times, and the error's own weight in
# signal to noise, by which min-SNR's is divided.
TARGETS: Mapping[str, Target] = {
    "epsilon": lambda _, clean, noise, times: noise,
    "v_prediction": lambda scheduler, clean, noise, times: scheduler.get_velocity(
        clean, noise, times
    ),
    "sample": lambda _, clean, noise, times: clean,
}
OWN_WEIGHTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "epsilon": lambda ratio: ratio,
    "v_prediction": lambda ratio: ratio + 1,
    "sample": torch.ones_like,
}


class Noising:
    """Draws times and noise, and weighs what was guessed. Raises ValueError for a scheduler whose
    prediction is none of `TARGETS`."""

    def __init__(self, config: Mapping[str, object]) -> None:
        self.scheduler = DDPMScheduler.from_config(config)
        kind = str(self.scheduler.config.prediction_type)
        if kind not in TARGETS:
            raise ValueError(f"a scheduler predicts {kind!r}; known: {', '.join(TARGETS)}")
        self.steps = int(self.scheduler.config.num_train_timesteps)
        self._target = TARGETS[kind]
        signal = self.scheduler.alphas_cumprod
        ratio = (signal / (1 - signal)).clamp(min=TINY)  # signal to noise, by time
        self._weights = ratio.clamp(max=GAMMA) / OWN_WEIGHTS[kind](ratio)

    def loss(self, clean: Tensor, guess: Guess, draw: torch.Generator) -> Tensor:
        """The weighed squared error of a batch [B, ...], a scalar."""
        times = spread_times(len(clean), draw, self.steps)
        noise = torch.randn(clean.shape, generator=draw)
        return self.losses(clean, guess, times, noise).mean()

    def losses(self, clean: Tensor, guess: Guess, times: Tensor, noise: Tensor) -> Tensor:
        """Of each picture [B], at these times and with this noise."""
        times, noise = times.to(clean.device), noise.to(clean.device)
        noised = self.scheduler.add_noise(clean, noise, times)
        target = self._target(self.scheduler, clean, noise, times)
        errors = (guess(noised, times).float() - target).square().flatten(1).mean(1)
        weighed: Tensor = errors * self._weights.to(clean.device)[times]
        return weighed


def spread_times(count: int, draw: torch.Generator, steps: int) -> Tensor:
    """One from each of `count` equal parts of all times, in a random order: int64 [count]."""
    places = torch.arange(count) + torch.rand(count, generator=draw)
    times = (places * steps / count).long().clamp(max=steps - 1)
    return times[torch.randperm(count, generator=draw)]
