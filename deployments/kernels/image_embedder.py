"""The zoo's image embedder as a part: pictures into the space of a sentence encoder.

Its layers are written down again here, since nothing stands on the zoo; a test holds the two
together. Imported in the building process only.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from deployments.kernels import image_names as names
from deployments.kernels.image_components import CONFIG_FILE, read_json
from deployments.kernels.image_torch import TorchPart

WEIGHTS_FILE = "model.safetensors"


class Embedder(nn.Module):  # type: ignore[misc]  # torch is not typed
    """[B, channels, S, S] in -1..1 -> [B, width] of unit length."""

    def __init__(
        self, channels: int, widths: list[int], features: int, width: int, groups: int
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1)
        stages: list[nn.Module] = [_Block(widths[0], groups)]
        for narrow, wide in pairwise(widths):
            stages += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), _Block(wide, groups)]
        self.stages = nn.Sequential(*stages)
        self.features_out = nn.Linear(2 * widths[-1], features)
        self.projection = nn.Linear(features, width)

    def forward(self, pictures: Tensor) -> Tensor:
        found = self.stages(self.stem(pictures)).flatten(2)
        pooled = torch.cat((found.mean(-1), found.amax(-1)), -1)
        features = nn.functional.silu(self.features_out(pooled))
        return nn.functional.normalize(self.projection(features), dim=-1)


class _Block(nn.Module):  # type: ignore[misc]  # torch is not typed
    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(groups, width) for _ in range(2))
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, values: Tensor) -> Tensor:
        changed = values
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            changed = convolution(nn.functional.silu(norm(changed)))
        return values + changed


def parts(folder: Path) -> tuple[TorchPart, ...]:
    config = read_json(folder / CONFIG_FILE)
    channels, side = config["channels"], config["image_size"]
    module = Embedder(
        channels,
        config["widths"],
        config["feature_size"],
        config["embedding_size"],
        config["groups"],
    )
    tensors = load_file(folder / WEIGHTS_FILE)
    module.load_state_dict({name: value.float() for name, value in tensors.items()})

    def example(batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (torch.rand(batch, channels, side, side, generator=generator) * 2 - 1,)

    return (
        TorchPart(
            names.SCORER,
            module.eval(),
            {names.IMAGE: {0: "B"}},
            {names.VECTOR: {0: "B"}},
            example,
            {"side": side},
        ),
    )
