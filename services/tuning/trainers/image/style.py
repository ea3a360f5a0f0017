"""How near the pictures that a model makes are to held-out ones of the same captions.

A style is in small places: the latents' 2x2 patches, taken for a Gaussian, as their Frechet
distance. Likeness is 1 / (1 + distance): 1 for the same, and more is better.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from services.tuning.trainers.image.base_pipeline import BasePipeline
from services.tuning.trainers.image.examples import Learned
from training.denoising import denoised, guided, noise_of
from training.frechet import frechet_distance

PICTURES = 16
AT_ONCE = 16
SEED = 30_000_001
MOST_PARAMETERS = 100_000_000  # of a UNet that makes them in seconds without a GPU


def style_likeness(model: nn.Module, base: BasePipeline, held_out: Learned) -> float:
    """With the base's own steps and guidance, by DDIM, from the same noise in every call."""
    shown = held_out.first(PICTURES)
    made = _made(model, base, shown)
    distance = frechet_distance(_patches(made), _patches(shown.latents))
    return 1 / (1 + max(0.0, distance))


def is_cheap(base: BasePipeline) -> bool:
    parameters = sum(one.numel() for one in base.unet.parameters())
    return base.device != "cpu" or parameters <= MOST_PARAMETERS


def _made(model: nn.Module, base: BasePipeline, shown: Learned) -> Tensor:
    """Latents like those that are shown."""
    noise = noise_of(len(shown), tuple(shown.latents.shape[1:]), SEED)
    nothing = shown.states[:1].to(base.device)
    asked = base.denoising
    found = []
    for part in torch.arange(len(shown)).split(AT_ONCE):
        states = shown.states_at(part).to(base.device)
        guess = guided(model, states, nothing, asked.guidance_scale)
        state = noise[part].to(base.device)
        found.append(denoised(guess, state, base.scheduler, asked.steps).cpu())
    return torch.cat(found)


def _patches(latents: Tensor) -> Tensor:
    """[N, C, h, w] -> [all patches, 4 * C]."""
    unfolded = nn.functional.unfold(latents, kernel_size=2)
    return unfolded.transpose(1, 2).flatten(0, 1)
