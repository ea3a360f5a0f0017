"""diffusers' UNets as parts. Imported in the building process only.

https://huggingface.co/docs/diffusers/api/models/unet2d
https://huggingface.co/docs/diffusers/api/models/unet2d-cond
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from torch import Tensor, nn

from deployments.kernels import image_names as names
from deployments.kernels.image_torch import TorchPart

PIXELS = {0: "B", 2: "H", 3: "W"}
ROWS = {0: "B"}
TOKENS = {0: "B", 1: "S"}
TRAINING_STEPS = 1000
EXAMPLE_TOKENS = 16
EXAMPLE_SIDE = 32  # where the config does not say
SMALLEST_TIMESTEP = 1.0


class _Unconditional(nn.Module):  # type: ignore[misc]  # torch is not typed
    def __init__(self, unet: UNet2DModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, sample: Tensor, timestep: Tensor, label: Tensor | None = None) -> Tensor:
        found: Tensor = self.unet(sample, timestep, class_labels=label, return_dict=False)[0]
        return found


class _Conditional(nn.Module):  # type: ignore[misc]  # torch is not typed
    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(
        self, sample: Tensor, timestep: Tensor, states: Tensor, label: Tensor | None = None
    ) -> Tensor:
        found: Tensor = self.unet(sample, timestep, states, class_labels=label, return_dict=False)[
            0
        ]
        return found


def unconditional(folder: Path) -> tuple[TorchPart, ...]:
    unet = UNet2DModel.from_pretrained(folder, torch_dtype=torch.float32).eval()
    return (_part(unet, _Unconditional(unet), states=None),)


def conditional(folder: Path) -> tuple[TorchPart, ...]:
    unet = UNet2DConditionModel.from_pretrained(folder, torch_dtype=torch.float32).eval()
    width = unet.config.encoder_hid_dim or unet.config.cross_attention_dim
    return (_part(unet, _Conditional(unet), states=_one(width)),)


def _part(
    unet: UNet2DModel | UNet2DConditionModel, module: nn.Module, states: int | None
) -> TorchPart:
    channels = unet.config.in_channels
    height, width = _sides(unet.config.sample_size)
    classes = _classes(unet)
    inputs = {names.SAMPLE: PIXELS, names.TIMESTEP: ROWS}
    if states is not None:
        inputs[names.STATES] = TOKENS
    if classes:
        inputs[names.LABEL] = ROWS

    def example(batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        given = [
            normal(batch, channels, height, width),
            torch.linspace(SMALLEST_TIMESTEP, TRAINING_STEPS - 1, batch),
        ]
        if states is not None:
            given.append(normal(batch, EXAMPLE_TOKENS, states))
        if classes:
            given.append(torch.arange(batch) % classes)
        return tuple(given)

    facts = {
        "in_channels": channels,
        "out_channels": unet.config.out_channels,
        "height": height,
        "width": width,
        "states": states or 0,
        "classes": classes,
        "halvings": len(unet.config.down_block_types) - 1,
    }
    return TorchPart(names.UNET, module.eval(), inputs, {names.PREDICTION: PIXELS}, example, facts)


def _classes(unet: UNet2DModel | UNet2DConditionModel) -> int:
    """Of a UNet that takes a class: how many there are."""
    return int(unet.config.num_class_embeds or 0) if unet.class_embedding is not None else 0


def _sides(size: int | tuple[int, int] | None) -> tuple[int, int]:
    if size is None:
        return EXAMPLE_SIDE, EXAMPLE_SIDE
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _one(width: int | tuple[int, ...]) -> int:
    return width if isinstance(width, int) else width[0]
