"""diffusers' AutoencoderKL as two parts. Imported in the building process only.

https://huggingface.co/docs/diffusers/api/models/autoencoderkl
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from deployments.kernels import image_names as names
from deployments.kernels.image_torch import TorchPart

PIXELS = {0: "B", 2: "H", 3: "W"}
PLACES = {0: "B", 2: "h", 3: "w"}
LARGEST_EXAMPLE = 256  # pixels of a side


class _Encoder(nn.Module):  # type: ignore[misc]  # torch is not typed
    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        spread = self.vae.encode(image, return_dict=False)[0]
        return spread.mean, spread.std


class _Decoder(nn.Module):  # type: ignore[misc]  # torch is not typed
    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, latent: Tensor) -> Tensor:
        found: Tensor = self.vae.decode(latent, return_dict=False)[0]
        return found


def parts(folder: Path) -> tuple[TorchPart, ...]:
    vae = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32).eval()
    config = vae.config
    factor = 2 ** (len(config.block_out_channels) - 1)
    side = min(config.sample_size, LARGEST_EXAMPLE)
    places = side // factor
    facts = {
        "in_channels": config.in_channels,
        "latent_channels": config.latent_channels,
        "factor": factor,  # pixels of a side to one place of the latent
        "scaling_factor": config.scaling_factor,
        "shift_factor": config.shift_factor or 0.0,
        "sample_size": config.sample_size,
    }

    def images(batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (torch.rand(batch, config.in_channels, side, side, generator=generator) * 2 - 1,)

    def latents(batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        normal = torch.randn(batch, config.latent_channels, places, places, generator=generator)
        return (normal / config.scaling_factor,)

    encoder = TorchPart(
        names.VAE_ENCODER,
        _Encoder(vae).eval(),
        {names.IMAGE: PIXELS},
        {names.MEAN: PLACES, names.DEVIATION: PLACES},
        images,
        facts,
    )
    decoder = TorchPart(
        names.VAE_DECODER,
        _Decoder(vae).eval(),
        {names.LATENT: PLACES},
        {names.IMAGE: PIXELS},
        latents,
        facts,
    )
    return encoder, decoder
