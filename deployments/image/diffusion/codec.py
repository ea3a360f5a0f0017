"""Between what a diffusion model computes with and pixels: nothing, or a VAE.

Batches in, batches out; float32, pixels in -1..1.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from deployments.image.pixels import Floats
from deployments.kernels import image_names as names
from deployments.kernels.image_session import Networks


class Codec(Protocol):
    @property
    def channels(self) -> int:
        """Of what the model computes with."""
        ...

    @property
    def factor(self) -> int:
        """Pixels of a side to one place."""
        ...

    def encode(self, pixels: Floats) -> Floats:
        """[n, 3, H, W] -> [n, channels, H / factor, W / factor]."""
        ...

    def decode(self, values: Floats) -> Floats:
        """The way back."""
        ...


class PixelCodec:
    """A model that computes with pixels."""

    factor = 1

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def encode(self, pixels: Floats) -> Floats:
        return pixels

    def decode(self, values: Floats) -> Floats:
        return values


class LatentCodec:
    """A model that computes with a VAE's latents, scaled to a spread of about one."""

    def __init__(self, networks: Networks) -> None:
        facts = networks.facts(names.VAE_DECODER)
        self._networks = networks
        self.channels = int(facts["latent_channels"])
        self.factor = int(facts["factor"])
        self._scaling = np.float32(facts["scaling_factor"])
        self._shift = np.float32(facts["shift_factor"])

    def encode(self, pixels: Floats) -> Floats:
        """The mean of the encoder's distribution."""
        mean = self._networks.run(names.VAE_ENCODER, {names.IMAGE: pixels})[0]
        scaled: Floats = (mean - self._shift) * self._scaling
        return scaled

    def decode(self, values: Floats) -> Floats:
        plain = values / self._scaling + self._shift
        return self._networks.run(names.VAE_DECODER, {names.LATENT: plain})[0]


def codec_of(networks: Networks) -> Codec:
    if networks.has(names.VAE_DECODER):
        return LatentCodec(networks)
    return PixelCodec(int(networks.facts(names.UNET)["out_channels"]))
