"""DCGAN generators (arXiv:1511.06434) as a part, with classes or without.

The folder is what `bestiary/garden/torch_generator.py` writes: transposed convolutions
`layers.i.weight` and `layers.i.bias` with their norms folded in. Imported in the building process
only.
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
ROWS = {0: "B"}


class DcganGenerator(nn.Module):  # type: ignore[misc]  # torch is not typed
    """Noise [B, Z], and classes [B] where it has some -> [B, C, S, S] in -1..1.

    The first layer makes a square of one place; each other doubles.
    """

    def __init__(self, tensors: dict[str, Tensor], classes: int) -> None:
        super().__init__()
        count = len(tensors) // 2
        self._weights = [tensors[f"layers.{i}.weight"].float() for i in range(count)]
        self._biases = [tensors[f"layers.{i}.bias"].float() for i in range(count)]
        self._classes = classes
        self.latent = len(self._weights[0]) - classes

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is not None:
            noise = torch.cat((noise, torch.eye(self._classes)[labels]), 1)
        values = noise[..., None, None]
        for place, pair in enumerate(zip(self._weights, self._biases, strict=True)):
            stride, padding = (2, 1) if place else (1, 0)
            values = functional.conv_transpose2d(values, *pair, stride=stride, padding=padding)
            if place < len(self._weights) - 1:
                values = functional.relu(values)
        return torch.tanh(values)


def parts(folder: Path) -> tuple[TorchPart, ...]:
    classes = len(read_json(folder / CONFIG_FILE)["classes"])
    module = DcganGenerator(load_file(folder / WEIGHTS_FILE), classes)

    def example(batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        noise = torch.randn(batch, module.latent, generator=generator)
        return (noise, torch.arange(batch) % classes) if classes else (noise,)

    inputs = {names.LATENT: ROWS} | ({names.LABEL: ROWS} if classes else {})
    return (
        TorchPart(
            names.GENERATOR,
            module.eval(),
            inputs,
            {names.IMAGE: ROWS},
            example,
            {"latent": module.latent, "classes": classes},
        ),
    )
