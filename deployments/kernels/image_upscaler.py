"""The zoo's feed-forward upscaler as a part: any size in, a multiple of it out.

Its layers are written down again here, since nothing stands on the zoo; a test holds the two
together. Imported in the building process only.
"""

from __future__ import annotations

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
EXAMPLE_SIDE = 24  # pixels


class ResidualUpscaler(nn.Module):  # type: ignore[misc]  # torch is not typed
    """[B, 3, H, W] -> [B, 3, factor H, factor W], -1..1: bicubic, and what it lacks
    (arXiv:1707.02921)."""

    def __init__(self, width: int, blocks: int, factor: int) -> None:
        super().__init__()
        self._factor = factor
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1),
            )
            for _ in range(blocks)
        )
        self.last = nn.Conv2d(width, 3 * factor**2, 3, padding=1)

    def forward(self, low: Tensor) -> Tensor:
        first = self.first(low)
        values = first
        for block in self.blocks:
            values = values + block(values)
        added = functional.pixel_shuffle(self.last(first + values), self._factor)
        enlarged = functional.interpolate(
            low, scale_factor=float(self._factor), mode="bicubic", align_corners=False
        )
        return (enlarged + added).clamp(-1, 1)


def parts(folder: Path) -> tuple[TorchPart, ...]:
    config = read_json(folder / CONFIG_FILE)
    module = ResidualUpscaler(config["channels"], config["blocks"], config["factor"])
    tensors = load_file(folder / WEIGHTS_FILE)
    module.load_state_dict({name: value.float() for name, value in tensors.items()})

    def example(batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (torch.rand(batch, 3, EXAMPLE_SIDE, EXAMPLE_SIDE, generator=generator) * 2 - 1,)

    return (
        TorchPart(
            names.UPSCALER,
            module.eval(),
            {names.LOW: PIXELS},
            {names.IMAGE: PIXELS},
            example,
            # Each layer sees a pixel further; bicubic interpolation sees two.
            {"factor": config["factor"], "margin": 2 * config["blocks"] + 4},
        ),
    )
