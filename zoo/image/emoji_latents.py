"""Emoji in the latents of `emoji-vae`, the artefact as it is committed: spread 1, mean 0."""

from __future__ import annotations

from functools import cache

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from zoo.data.emoji import scaled
from zoo.image.emoji_vae import decoded, latents_of
from zoo.recipe import ZOO

VAE = "emoji-vae"
SHAPE = (4, 16, 16)


@cache
def vae() -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(ZOO / VAE, torch_dtype=torch.float32).eval()


def latents_of_pixels(pixels: Tensor) -> Tensor:
    """uint8 [N, 3, 64, 64] -> [N, 4, 16, 16]."""
    return latents_of(vae(), scaled(pixels))


def pictures_of_latents(latents: Tensor) -> Tensor:
    """[N, 4, 16, 16] -> [N, 3, 64, 64] in [-1, 1]."""
    return decoded(vae(), latents)
