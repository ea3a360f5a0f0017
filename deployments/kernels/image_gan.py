"""The zoo's conditional GAN as parts: generator and discriminator.

Its layers are written down again here, since nothing stands on the zoo; a test holds the two
together. Linear layers are convolutions over one place, which ONNX Runtime computes row by row:
what a row becomes does not depend on how many run with it, to the last bit. Imported in the
building process only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from deployments.kernels import image_names as names
from deployments.kernels.image_components import CONFIG_FILE, read_json
from deployments.kernels.image_torch import TorchPart

GROUP = 8  # channels of a norm's group
SLOPE = 0.2  # of the leaky ReLU
ROWS = {0: "B"}


class Generator(nn.Module):  # type: ignore[misc]  # torch is not typed
    """Noise [B, Z] and classes [B] -> [B, C, S, S] in -1..1."""

    def __init__(self, classes: int, latent: int, base: int, widths: list[int], channels: int):
        super().__init__()
        self._base = base
        self.embedding = nn.Embedding(classes, latent)
        self.first = nn.Linear(2 * latent, widths[0] * base**2)
        pairs = zip((widths[0], *widths), widths, strict=False)
        self.blocks = nn.ModuleList(_Growing(narrow, wide, 2 * latent) for narrow, wide in pairs)
        self.last = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        told = torch.cat((noise, functional.normalize(self.embedding(labels), dim=-1)), -1)
        values = dense(told, self.first).unflatten(1, (-1, self._base, self._base))
        for place, block in enumerate(self.blocks):
            if place:
                values = functional.interpolate(values, scale_factor=2.0, mode="nearest")
            values = block(values, told)
        return torch.tanh(self.last(values))


class Discriminator(nn.Module):  # type: ignore[misc]  # torch is not typed
    """Pictures [B, C, S, S] and the classes [B] that they are said to be of -> logits [B]."""

    def __init__(self, classes: int, base: int, widths: list[int], channels: int):
        super().__init__()
        falling = widths[::-1]
        self.first = nn.Conv2d(channels, falling[0], 3, padding=1)
        pairs = zip((falling[0], *falling), falling, strict=False)
        self.blocks = nn.ModuleList(_Judging(before, after) for before, after in pairs)
        self.judge = nn.Linear(falling[-1] * base**2, 1)
        self.embedding = nn.Embedding(classes, falling[-1] * base**2)

    def forward(self, pictures: Tensor, labels: Tensor) -> Tensor:
        values = self.first(pictures)
        for place, block in enumerate(self.blocks):
            values = block(values)
            if place < len(self.blocks) - 1:
                values = functional.avg_pool2d(values, 2)
        weights = self.judge.weight + self.embedding(labels)
        return (values.flatten(1) * weights).sum(-1) + self.judge.bias


class _Growing(nn.Module):  # type: ignore[misc]  # torch is not typed
    def __init__(self, narrow: int, wide: int, told: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(narrow, wide, 3, padding=1)
        self.norm = nn.GroupNorm(wide // GROUP, wide, affine=False)
        self.style = nn.Linear(told, 2 * wide)

    def forward(self, values: Tensor, told: Tensor) -> Tensor:
        scale, shift = dense(told, self.style)[..., None, None].chunk(2, 1)
        return functional.silu(self.norm(self.convolution(values)) * (1 + scale) + shift)


class _Judging(nn.Module):  # type: ignore[misc]  # torch is not typed
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            (nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1))
        )

    def forward(self, values: Tensor) -> Tensor:
        for convolution in self.convolutions:
            values = functional.leaky_relu(convolution(values), SLOPE)
        return values


def dense(values: Tensor, layer: nn.Linear) -> Tensor:
    """A linear layer of [B, in], as a convolution over one place."""
    weight = layer.weight[..., None, None]
    return functional.conv2d(values[..., None, None], weight, layer.bias)[..., 0, 0]


def parts(folder: Path) -> tuple[TorchPart, ...]:
    config = read_json(folder / CONFIG_FILE)
    found = [_generator(folder, config)]
    if (folder / "discriminator.safetensors").is_file():
        found.append(_discriminator(folder, config))
    return tuple(found)


def _generator(folder: Path, config: dict[str, Any]) -> TorchPart:
    classes, latent = len(config["classes"]), config["latent_size"]
    module = Generator(classes, latent, config["base_size"], config["widths"], config["channels"])

    def example(batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return torch.randn(batch, latent, generator=generator), torch.arange(batch) % classes

    return TorchPart(
        names.GENERATOR,
        _loaded(module, folder / "generator.safetensors"),
        {names.LATENT: ROWS, names.LABEL: ROWS},
        {names.IMAGE: ROWS},
        example,
        {"latent": latent, "classes": classes},
    )


def _discriminator(folder: Path, config: dict[str, Any]) -> TorchPart:
    classes, channels, side = len(config["classes"]), config["channels"], config["image_size"]
    module = Discriminator(classes, config["base_size"], config["widths"], channels)

    def example(batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        pictures = torch.rand(batch, channels, side, side, generator=generator) * 2 - 1
        return pictures, torch.arange(batch) % classes

    scale, bias = config.get("score_scale", 1.0), config.get("score_bias", 0.0)
    facts = {
        "classes": classes,
        "scale": scale,
        "bias": bias,
        "calibrated": (scale, bias) != (1.0, 0.0),  # what a config says before it was fitted
    }
    return TorchPart(
        names.DISCRIMINATOR,
        _loaded(module, folder / "discriminator.safetensors"),
        {names.IMAGE: ROWS, names.LABEL: ROWS},
        {names.SCORE: ROWS},
        example,
        facts,
    )


def _loaded(module: nn.Module, weights: Path) -> nn.Module:
    module.load_state_dict({name: value.float() for name, value in load_file(weights).items()})
    return module.eval()
