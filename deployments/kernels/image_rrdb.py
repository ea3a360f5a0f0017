"""ESRGAN's generator (RRDB, arXiv:1809.00219) as a part: any size in, four times it out.

The folder is what `bestiary/garden/ncnn_upscaler.py` writes. Imported in the building process only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from deployments.kernels import image_names as names
from deployments.kernels.image_components import CONFIG_FILE, read_json
from deployments.kernels.image_torch import TorchPart

WEIGHTS_FILE = "model.safetensors"
PIXELS = {0: "B", 2: "H", 3: "W"}
EXAMPLE_SIDE = 12  # pixels
SLOPE = 0.2  # of the leaky ReLU
RESIDUAL = 0.2  # what a block's change is multiplied by
MARGIN = 16  # pixels: further away hardly anything counts


class RrdbUpscaler(nn.Module):  # type: ignore[misc]  # torch is not typed
    """[B, 3, H, W] -> [B, 3, 4H, 4W], -1..1; inside it computes with 0..1."""

    def __init__(self, tensors: dict[str, Tensor], blocks: int) -> None:
        super().__init__()
        self._layers = [
            (tensors[f"convolutions.{i}.weight"].float(), tensors[f"convolutions.{i}.bias"].float())
            for i in range(len(tensors) // 2)
        ]
        self._blocks = blocks

    def forward(self, low: Tensor) -> Tensor:
        layers = iter(self._layers)
        first = _convolved((low + 1) / 2, layers)
        values = first
        for _ in range(self._blocks):
            changed = values
            for _ in range(3):
                changed = changed + RESIDUAL * _dense_block(changed, layers)
            values = values + RESIDUAL * changed
        values = first + _convolved(values, layers)
        for _ in range(2):
            values = functional.interpolate(values, scale_factor=2.0, mode="nearest")
            values = _bent(_convolved(values, layers))
        values = _bent(_convolved(values, layers))
        return (_convolved(values, layers) * 2 - 1).clamp(-1, 1)


def _dense_block(values: Tensor, layers: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
    """Four layers that each see all before them, and a last one."""
    seen = [values]
    for _ in range(4):
        seen.append(_bent(_convolved(torch.cat(seen, 1), layers)))
    return _convolved(torch.cat(seen, 1), layers)


def _convolved(values: Tensor, layers: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
    return functional.conv2d(values, *next(layers), padding=1)


def _bent(values: Tensor) -> Tensor:
    return functional.leaky_relu(values, SLOPE)


def parts(folder: Path) -> tuple[TorchPart, ...]:
    config = read_json(folder / CONFIG_FILE)
    module = RrdbUpscaler(load_file(folder / WEIGHTS_FILE), config["blocks"])

    def example(batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (torch.rand(batch, 3, EXAMPLE_SIDE, EXAMPLE_SIDE, generator=generator) * 2 - 1,)

    return (
        TorchPart(
            names.UPSCALER,
            module.eval(),
            {names.LOW: PIXELS},
            {names.IMAGE: PIXELS},
            example,
            {"factor": config["factor"], "margin": MARGIN},
        ),
    )
