"""A variational autoencoder of emoji: the loss, its latents, and the Gaussian they lie in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from zoo.data.emoji import SIDE, EmojiSet, scaled
from zoo.image.measures import psnr, ssim

BATCH = 8
KL_WEIGHT = 3e-4  # of the divergence per latent number, beside a loss per pixel
EDGES_WEIGHT = 1.0
COMPONENTS = 192  # of the latents' Gaussian
AT_ONCE = 64
QUICK_PICTURES = 48


class VaeTrainee:
    """See `training.loop.Trainee`."""

    model: AutoencoderKL

    def __init__(self, training: EmojiSet, held_out: EmojiSet, seed: int) -> None:
        self.model = untrained(seed)
        self.training, self.held_out = training, held_out
        self._seed = seed

    def loss(self, step: int) -> Tensor:
        """Absolute error of the pixels and of their differences, and the divergence."""
        draw = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        places = torch.randint(len(self.training), (BATCH,), generator=draw)
        pictures = varied(scaled(self.training.pixels[places]), draw)
        posterior = self.model.encode(pictures).latent_dist
        output = self.model.decode(posterior.sample()).sample.float()
        divergence = posterior.kl().mean() / posterior.mean[0].numel()
        edges = (differences(output) - differences(pictures)).abs().mean()
        pixels = (output - pictures).abs().mean()
        return pixels + EDGES_WEIGHT * edges + KL_WEIGHT * divergence

    def measure(self) -> Mapping[str, float]:
        every = max(1, len(self.held_out) // QUICK_PICTURES)
        found = reconstruction(self.model, self.held_out.pixels[::every])
        return {"PSNR": found.psnr}


@dataclass(frozen=True)
class Reconstruction:
    psnr: float  # dB, mean over pictures
    ssim: float


def untrained(seed: int) -> AutoencoderKL:
    torch.manual_seed(seed)
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(24, 48, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIDE,
        mid_block_add_attention=False,
    )


def varied(pictures: Tensor, draw: torch.Generator) -> Tensor:
    """Half of them mirrored, all of them moved by up to 4 pixels over their white ground."""
    mirrored = torch.rand(len(pictures), generator=draw) < 0.5
    pictures = torch.where(mirrored[:, None, None, None], pictures.flip(-1), pictures)
    down, right = torch.randint(0, 9, (2,), generator=draw).tolist()
    padded = torch.nn.functional.pad(pictures, (4, 4, 4, 4), value=1.0)
    side = pictures.shape[-1]
    return padded[..., down : down + side, right : right + side]


def differences(pictures: Tensor) -> Tensor:
    """Of each pixel to the next, down and to the right, flat."""
    down = pictures[..., 1:, :] - pictures[..., :-1, :]
    right = pictures[..., 1:] - pictures[..., :-1]
    return torch.cat((down.flatten(1), right.flatten(1)), 1)


@torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
def reconstruction(model: AutoencoderKL, pixels: Tensor) -> Reconstruction:
    """Through the mean of the latents, uint8 [N, 3, H, W] in."""
    references = scaled(pixels)
    outputs = decoded(model, latents_of(model, references))
    return Reconstruction(
        float(psnr(outputs, references).mean()), float(ssim(outputs, references).mean())
    )


@torch.no_grad()  # type: ignore[untyped-decorator]  # as above
def latents_of(model: AutoencoderKL, pictures: Tensor) -> Tensor:
    """The posteriors' means, unscaled: [N, 4, H/4, W/4]."""
    return torch.cat([model.encode(part).latent_dist.mean for part in pictures.split(AT_ONCE)])


@torch.no_grad()  # type: ignore[untyped-decorator]  # as above
def decoded(model: AutoencoderKL, latents: Tensor) -> Tensor:
    """Pictures in [-1, 1] of unscaled latents."""
    parts = [model.decode(part).sample for part in latents.split(AT_ONCE)]
    return torch.cat(parts).clamp(-1, 1)


@dataclass(frozen=True)
class LatentPrior:
    """z = mean + g @ components + residual * n, with g and n standard normal."""

    mean: Tensor  # [D], D = 4 * 16 * 16
    components: Tensor  # [K, D], the principal axes, each as long as its standard deviation
    residual: Tensor  # [D], standard deviation of what the axes leave over

    def sample(self, count: int, seed: int, truncation: float = 1.0) -> Tensor:
        """Flat latents [count, D]; `truncation` scales all that is random."""
        draw = torch.Generator().manual_seed(seed)
        along = torch.randn(count, len(self.components), generator=draw)
        beside = torch.randn(count, len(self.mean), generator=draw)
        return self.mean + truncation * (along @ self.components + beside * self.residual)


def prior_of(latents: Tensor, components: int = COMPONENTS) -> LatentPrior:
    """A Gaussian with a low-rank covariance and a diagonal, fitted to latents [N, ...]."""
    flat = latents.flatten(1)
    mean = flat.mean(0)
    _, lengths, axes = torch.linalg.svd(flat - mean, full_matrices=False)
    kept = axes[:components] * (lengths[:components, None] / len(flat) ** 0.5)
    left = (flat.var(0, correction=0) - kept.square().sum(0)).clamp(min=0)
    return LatentPrior(mean, kept, left.sqrt())


@torch.no_grad()  # type: ignore[untyped-decorator]  # as above
def normalise_latents(model: AutoencoderKL, latents: Tensor) -> None:
    """Moves mean and spread of each channel of `latents` [N, C, H, W] into the model's own first
    and last layers of the latent: afterwards they are 0 and 1, so that `scaling_factor` is 1 and
    a latent diffusion model needs no shift. What is decoded stays what it was."""
    mean, spread = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    channels = len(mean)
    inward, outward = model.quant_conv, model.post_quant_conv
    inward.weight[:channels] /= spread[:, None, None, None]
    inward.bias[:channels] = (inward.bias[:channels] - mean) / spread
    inward.bias[channels:] -= 2 * spread.log()  # of the logarithm of the variance
    outward.bias += outward.weight[:, :, 0, 0] @ mean
    outward.weight *= spread[None, :, None, None]
    model.register_to_config(scaling_factor=1.0)
