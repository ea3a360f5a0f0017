"""Emoji out of nothing but noise, in `emoji-vae`'s latents: all kinds, or faces alone."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from diffusers import UNet2DModel
from torch import Tensor

from training.denoising import denoised, noise_of
from zoo.data.emoji import EmojiSet, even_weights
from zoo.image.emoji_latents import SHAPE, latents_of_pixels, pictures_of_latents
from zoo.image.noising import noising, scheduler_config

BATCH = 32
QUICK_PICTURES = 128
UNMIRRORED = ("Flags", "Symbols")  # categories whose pictures say something
FACES = ("cat-face", "monkey-face", "person")  # subcategories, beside those that begin with face-


class DiffusionTrainee:
    """See `training.loop.Trainee`."""

    model: UNet2DModel

    def __init__(
        self, training: EmojiSet, held_out: EmojiSet, seed: int, model: UNet2DModel | None = None
    ) -> None:
        """`model`: one to go on from."""
        self.model = untrained(seed) if model is None else model
        self.training, self.held_out = training, held_out
        self._seed = seed
        self._noising = noising(pixels=False)
        self._weights = even_weights(training)
        mirrored = [one.category not in UNMIRRORED for one in training.pictures]
        self._mirrored = torch.tensor(mirrored)
        every = max(1, len(held_out) // QUICK_PICTURES)
        self._measured = latents_of_pixels(held_out.pixels[::every])
        self._latents = latents_of_pixels(training.pixels)
        self._mirrored_latents = latents_of_pixels(training.pixels.flip(-1))

    def loss(self, step: int) -> Tensor:
        draw = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        places = torch.multinomial(self._weights, BATCH, replacement=True, generator=draw)
        mirrored = self._mirrored[places] & (torch.rand(BATCH, generator=draw) < 0.5)
        latents = torch.where(
            mirrored[:, None, None, None], self._mirrored_latents[places], self._latents[places]
        )
        return self._noising.loss(latents, self.guess, draw)

    def measure(self) -> Mapping[str, float]:
        """The same noise at the same times in every call."""
        draw = torch.Generator().manual_seed(0)
        return {"loss": float(self._noising.loss(self._measured, self.guess, draw))}

    def guess(self, noised: Tensor, times: Tensor) -> Tensor:
        velocity: Tensor = self.model(noised, times).sample
        return velocity

    def samples(self, count: int, seed: int, steps: int) -> Tensor:
        """[count, 3, 64, 64] in [-1, 1]."""
        noise = noise_of(count, SHAPE, seed)
        config = scheduler_config(pixels=False)
        parts = [denoised(self.guess, part, config, steps) for part in noise.split(BATCH)]
        return pictures_of_latents(torch.cat(parts))


def untrained(seed: int) -> UNet2DModel:
    torch.manual_seed(seed)
    return UNet2DModel(
        sample_size=SHAPE[-1],
        in_channels=SHAPE[0],
        out_channels=SHAPE[0],
        block_out_channels=(64, 128),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=32,
    )


def faces(found: EmojiSet) -> EmojiSet:
    """Smileys, faces of cats and monkeys, and people's heads."""
    return found.where(
        at
        for at, one in enumerate(found.pictures)
        if one.subcategory.startswith("face-") or one.subcategory in FACES
    )
