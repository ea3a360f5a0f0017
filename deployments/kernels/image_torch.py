"""torch modules that can be exported. Imported in the building process only.

A part is one graph: a module, what goes in and comes out, and seeded inputs of any batch, which
are also those that the certificate states.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bestiary.errors import KernelError
from deployments.kernels.image_components import Component, components_of
from deployments.kernels.image_session import Array, Floats

Axes = Mapping[int, str]


@dataclass(frozen=True)
class TorchPart:
    """`example(batch, generator)`: the inputs in the order of `inputs`."""

    name: str
    module: nn.Module  # takes tensors by position; gives one, or a tuple of them
    inputs: Mapping[str, Axes]  # name -> its dynamic axes
    outputs: Mapping[str, Axes]
    example: Callable[[int, torch.Generator], tuple[Tensor, ...]]
    facts: Mapping[str, object] = field(default_factory=dict)  # plain JSON, kept with the build
    # Nodes whose products lose too much in bytes; matched by the start of their names.
    keep_float: tuple[str, ...] = ()


# By class of a component: the function that loads it, as `module:function`.
LOADERS: dict[str, str] = {
    "UNet2DModel": "deployments.kernels.image_unet:unconditional",
    "UNet2DConditionModel": "deployments.kernels.image_unet:conditional",
    "AutoencoderKL": "deployments.kernels.image_vae:parts",
    "CLIPTextModel": "deployments.kernels.image_clip:parts",
    "ImageEmbedder": "deployments.kernels.image_embedder:parts",
    "ConditionalGan": "deployments.kernels.image_gan:parts",
    "DcganGenerator": "deployments.kernels.image_dcgan:parts",
    "ResidualUpscaler": "deployments.kernels.image_upscaler:parts",
    "RrdbUpscaler": "deployments.kernels.image_rrdb:parts",
    "ImageGPTForCausalImageModeling": "deployments.kernels.image_gpt:parts",
}


def torch_parts(folder: Path) -> tuple[TorchPart, ...]:
    """Of every component in a model's folder. Raises KernelError for an unknown class."""
    return tuple(part for one in components_of(folder) for part in _parts(one))


def _parts(component: Component) -> tuple[TorchPart, ...]:
    named = LOADERS.get(component.architecture)
    if named is None:
        raise KernelError(
            f"{component.folder} is a {component.architecture}; known: {', '.join(LOADERS)}"
        )
    module, _, function = named.partition(":")
    load: Callable[[Path], tuple[TorchPart, ...]]
    load = getattr(importlib.import_module(module), function)
    return load(component.folder)


class TorchNetworks:
    """`image_session.Networks` on torch itself: what builds are compared with."""

    def __init__(self, folder: Path) -> None:
        self._parts = {part.name: part for part in torch_parts(folder)}

    def has(self, part: str) -> bool:
        return part in self._parts

    def facts(self, part: str) -> Mapping[str, Any]:
        return self._parts[part].facts

    def run(self, part: str, given: Mapping[str, Array]) -> tuple[Floats, ...]:
        one = self._parts[part]
        with torch.inference_mode():
            made = one.module(*(torch.from_numpy(np.asarray(given[name])) for name in one.inputs))
        return tuple(value.numpy() for value in (made if isinstance(made, tuple) else (made,)))
