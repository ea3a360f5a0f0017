"""Four times larger: by one pass of a residual network, or by diffusion of what bicubic lacks.

Both learn on crops of emoji, so that the small ones suffice; both are fully convolutional. The
low resolution is made by antialiased bicubic downsampling.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from diffusers import UNet2DModel
from torch import Tensor

from training.architectures.residual_upscaler import (
    ResidualUpscaler,
    UpscalerConfig,
    downsampled,
    upsampled,
)
from training.denoising import denoised, noise_of
from zoo.data.emoji import EmojiSet, even_weights, scaled
from zoo.image.measures import psnr, ssim
from zoo.image.noising import noising, scheduler_config

FACTOR = 4
CROP = 32  # pixels of the high resolution
BATCH = 32
QUICK_PICTURES = 64
RESIDUAL_SCALE = 0.15  # one unit of what is diffused, in pixels' [-1, 1]
STEPS = 8  # few: with more, a sample gets sharper and less near to the original
AT_ONCE = 32

Upscale = Callable[[Tensor], Tensor]  # [N, 3, h, w] -> [N, 3, 4h, 4w], in [-1, 1]


class Crops:
    """Pieces of the training pictures, mirrored and turned."""

    def __init__(self, training: EmojiSet, seed: int) -> None:
        self._training = training
        self._weights = even_weights(training)
        self._seed = seed

    def at(self, step: int) -> tuple[Tensor, torch.Generator]:
        """[B, 3, 32, 32] in [-1, 1], and the draw to go on with."""
        draw = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        places = torch.multinomial(self._weights, BATCH, replacement=True, generator=draw)
        # The corner at a multiple of the factor: crop and downsample commute but for the edges.
        corners = torch.randint(0, 9, (BATCH, 2), generator=draw) * FACTOR
        pieces = [
            self._training.pixels[place, :, down : down + CROP, right : right + CROP]
            for place, (down, right) in zip(places.tolist(), corners.tolist(), strict=True)
        ]
        pictures = scaled(torch.stack(pieces))
        turns, mirrored = torch.randint(0, 4, (2,), generator=draw).tolist()
        pictures = torch.rot90(pictures, turns, (2, 3))
        return (pictures.flip(-1) if mirrored % 2 else pictures), draw


class UpscalerTrainee:
    """See `training.loop.Trainee`. The absolute error, as EDSR."""

    model: ResidualUpscaler

    def __init__(self, training: EmojiSet, held_out: EmojiSet, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = ResidualUpscaler(UpscalerConfig())
        self.training, self.held_out = training, held_out
        self._crops = Crops(training, seed)

    def loss(self, step: int) -> Tensor:
        high, _ = self._crops.at(step)
        made: Tensor = self.model.unclamped(downsampled(high, FACTOR))
        return (made.float() - high).abs().mean()

    def measure(self) -> Mapping[str, float]:
        found = fidelity(self.upscale, quick(self.held_out))
        return {"PSNR": found.psnr}

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
    def upscale(self, low: Tensor) -> Tensor:
        return torch.cat([self.model(part) for part in low.split(AT_ONCE)])


class SuperResolutionTrainee:
    """See `training.loop.Trainee`. After SR3 (arXiv:2104.07636), but of the residual."""

    model: UNet2DModel

    def __init__(self, training: EmojiSet, held_out: EmojiSet, seed: int) -> None:
        self.model = untrained(seed)
        self.training, self.held_out = training, held_out
        self._crops = Crops(training, seed)
        self._noising = noising(pixels=False)

    def loss(self, step: int) -> Tensor:
        high, draw = self._crops.at(step)
        rough = upsampled(downsampled(high, FACTOR), FACTOR)
        lacking = (high - rough) / RESIDUAL_SCALE
        return self._noising.loss(lacking, self._guess_over(rough), draw)

    def measure(self) -> Mapping[str, float]:
        found = fidelity(self.upscale, quick(self.held_out))
        return {"PSNR": found.psnr}

    def upscale(self, low: Tensor, seed: int = 0, steps: int = STEPS) -> Tensor:
        """Each picture with noise of its own."""
        rough = upsampled(low, FACTOR)
        noise = noise_of(len(low), tuple(rough.shape[1:]), seed)
        config = scheduler_config(pixels=False)
        parts = zip(rough.split(AT_ONCE), noise.split(AT_ONCE), strict=True)
        lacking = [denoised(self._guess_over(one), part, config, steps) for one, part in parts]
        return (rough + RESIDUAL_SCALE * torch.cat(lacking)).clamp(-1, 1)

    def _guess_over(self, rough: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        def guess(noised: Tensor, times: Tensor) -> Tensor:
            velocity: Tensor = self.model(torch.cat((noised, rough), 1), times).sample
            return velocity

        return guess


def untrained(seed: int) -> UNet2DModel:
    torch.manual_seed(seed)
    return UNet2DModel(
        sample_size=CROP * 2,
        in_channels=6,
        out_channels=3,
        block_out_channels=(32, 48, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * 3,
        up_block_types=("UpBlock2D",) * 3,
        norm_num_groups=8,
        add_attention=False,
    )


@dataclass(frozen=True)
class Fidelity:
    psnr: float  # dB, mean over pictures
    ssim: float


def bicubic(low: Tensor) -> Tensor:
    """What the others have to be better than."""
    return upsampled(low, FACTOR).clamp(-1, 1)


def fidelity(upscale: Upscale, pixels: Tensor) -> Fidelity:
    """Of uint8 pictures [N, 3, H, W], made small and large again."""
    high = scaled(pixels)
    made = upscale(downsampled(high, FACTOR))
    return Fidelity(float(psnr(made, high).mean()), float(ssim(made, high).mean()))


def quick(found: EmojiSet) -> Tensor:
    return found.pixels[:: max(1, len(found) // QUICK_PICTURES)]
