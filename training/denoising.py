"""Pictures out of noise, as trainings measure them: DDIM (arXiv:2010.02502), and any other sampler
of diffusers by its class. The plain reference; the platform's engine does the same in batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn

from training.noising import Guess

AT_ONCE = 64


class Scheduler(Protocol):
    """What all schedulers of diffusers have."""

    timesteps: Tensor
    init_noise_sigma: float

    def set_timesteps(self, num_inference_steps: int) -> None: ...

    def scale_model_input(self, sample: Tensor, timestep: Tensor) -> Tensor: ...


class SchedulerClass(Protocol):
    def from_config(self, config: Mapping[str, object]) -> Scheduler: ...


@torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
def denoised(
    guess: Guess,
    noise: Tensor,
    config: Mapping[str, object],
    steps: int,
    kind: SchedulerClass = DDIMScheduler,
) -> Tensor:
    """From unit noise [N, ...] to samples of the same shape, in `steps` evaluations."""
    scheduler = kind.from_config(config)
    scheduler.set_timesteps(steps)
    state = noise * scheduler.init_noise_sigma
    for time in scheduler.timesteps:
        times = time.repeat(len(state)).long().to(state.device)
        velocity = guess(scheduler.scale_model_input(state, time), times)
        state = scheduler.step(velocity, time, state).prev_sample  # type: ignore[attr-defined]
    return state


def noise_of(count: int, shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def guided(model: nn.Module, states: Tensor, nothing: Tensor, guidance: float) -> Guess:
    """Both guesses in one batch, and as far beyond the asked one as `guidance` says; at 1 the
    empty prompt is not evaluated."""
    both = torch.cat((nothing.expand(len(states), -1, -1), states))

    def guess(noised: Tensor, times: Tensor) -> Tensor:
        if guidance == 1.0:
            only: Tensor = model(noised, times, states).sample
            return only
        found = model(torch.cat((noised, noised)), torch.cat((times, times)), both).sample
        unasked, asked = found.chunk(2)
        velocity: Tensor = unasked + guidance * (asked - unasked)
        return velocity

    return guess
