"""Emoji out of nothing but noise, 32x32 pixels: all kinds, or faces alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from diffusers import UNet2DModel
from torch import Tensor

from zoo.data.emoji import EmojiSet, halved, scaled
from zoo.image.noising import Noising, scheduler_config
from zoo.image.sampling import denoised, noise_of

BATCH = 32
PIXELS = 32  # a side
QUICK_PICTURES = 128
UNMIRRORED = ("Flags", "Symbols")  # categories whose pictures say something
FACES = ("cat-face", "monkey-face", "person")  # subcategories, beside those that begin with face-


class DiffusionTrainee:
    """See `zoo.training.Trainee`."""

    model: UNet2DModel

    def __init__(
        self, training: EmojiSet, held_out: EmojiSet, seed: int, model: UNet2DModel | None = None
    ) -> None:
        """`model`: one to go on from."""
        self.model = untrained(seed) if model is None else model
        self.training, self.held_out = training, held_out
        self._seed = seed
        self._noising = Noising(pixels=True)
        self._weights = even_weights(training)
        mirrored = [one.category not in UNMIRRORED for one in training.pictures]
        self._mirrored = torch.tensor(mirrored)
        every = max(1, len(held_out) // QUICK_PICTURES)
        self._measured = small(held_out.pixels[::every])

    def loss(self, step: int) -> Tensor:
        draw = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        places = torch.multinomial(self._weights, BATCH, replacement=True, generator=draw)
        pictures = small(self.training.pixels[places])
        mirrored = self._mirrored[places] & (torch.rand(BATCH, generator=draw) < 0.5)
        pictures = torch.where(mirrored[:, None, None, None], pictures.flip(-1), pictures)
        return self._noising.loss(pictures, self.guess, draw)

    def measure(self) -> Mapping[str, float]:
        """The same noise at the same times in every call."""
        draw = torch.Generator().manual_seed(0)
        return {"loss": float(self._noising.loss(self._measured, self.guess, draw))}

    def guess(self, noised: Tensor, times: Tensor) -> Tensor:
        velocity: Tensor = self.model(noised, times).sample
        return velocity

    def samples(self, count: int, seed: int, steps: int) -> Tensor:
        """[count, 3, 32, 32] in [-1, 1]."""
        noise = noise_of(count, (3, PIXELS, PIXELS), seed)
        config = scheduler_config(pixels=True)
        parts = [denoised(self.guess, part, config, steps) for part in noise.split(BATCH)]
        return torch.cat(parts).clamp(-1, 1)


def untrained(seed: int) -> UNet2DModel:
    torch.manual_seed(seed)
    return UNet2DModel(
        sample_size=PIXELS,
        in_channels=3,
        out_channels=3,
        block_out_channels=(32, 64, 96),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=24,
    )


def faces(found: EmojiSet) -> EmojiSet:
    """Smileys, faces of cats and monkeys, and people's heads."""
    return found.where(
        at
        for at, one in enumerate(found.pictures)
        if one.subcategory.startswith("face-") or one.subcategory in FACES
    )


def small(pixels: Tensor) -> Tensor:
    """uint8 [N, 3, 64, 64] -> [N, 3, 32, 32] in [-1, 1]."""
    return halved(scaled(pixels))


def even_weights(found: EmojiSet) -> Tensor:
    """So that an emoji is drawn as often with six skin tones as with none: float [N]."""
    variants = Counter((one.art, one.base) for one in found.pictures)
    return torch.tensor([1.0 / variants[one.art, one.base] for one in found.pictures])
