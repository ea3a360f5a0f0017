"""A DCGAN's generator that was published as a pickled state dict -> safetensors, converted once.

The file is read by torch with `weights_only`: tensors and plain containers, no code. It may be the
state dict itself, or have it under one key. The generator is a sequence of transposed convolutions,
each but the last with a batch norm behind it (arXiv:1511.06434); the norms of a trained model are
fixed and are folded into the weights:

    layers.i.weight [in, out, k, k], layers.i.bias [out]

Classes, where the card has some, are joined to the latent as a one-hot vector.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bestiary.errors import GardenError
from bestiary.garden.card import ModelCard
from bestiary.garden.safetensors_writer import Float32, write_float32
from bestiary.progress import Progress

ARCHITECTURE = "DcganGenerator"
EPSILON = 1e-5  # of torch's batch norm, which a state dict does not keep
DIMENSIONS = 4  # of a convolution's weight
_WEIGHT = re.compile(r"(?P<prefix>.*?)(?P<place>\d+)\.weight")

Array = npt.NDArray[np.float64]


def convert_generator(path: Path, card: ModelCard, staged: Path, progress: Progress) -> None:
    """Writes config and weights. Raises GardenError for anything but such a generator."""
    with progress.step(f"Converting {path.name} to safetensors"):
        state = _state_dict(path)
        tensors: dict[str, Float32] = {}
        for number, (weight, bias) in enumerate(_folded(path, state)):
            tensors[f"layers.{number}.weight"] = weight.astype(np.float32)
            tensors[f"layers.{number}.bias"] = bias.astype(np.float32)
        classes = card.image.classes if card.image else ()
        latent = len(tensors["layers.0.weight"]) - len(classes)
        if card.image is None or card.image.latent_shape != (latent,):
            raise GardenError(f"{path.name} takes latents of {latent}; the card says otherwise")
        shapes = {name: value.shape for name, value in tensors.items()}
        write_float32(staged, shapes, tensors.__getitem__)
        config = {"architectures": [ARCHITECTURE], "latent_size": latent, "classes": list(classes)}
        (staged / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def _state_dict(path: Path) -> dict[str, Array]:
    # Imported here: it brings in torch, and only a conversion needs it.
    from huggingface_hub import load_state_dict_from_file

    try:
        # `safe` would take nothing but safetensors; `weights_only` is what keeps code out.
        found: Any = load_state_dict_from_file(
            path, map_location="cpu", weights_only=True, safe=False
        )
    except Exception as error:  # whatever torch raises for a file that it does not take
        reason = str(error).partition("\n")[0]
        raise GardenError(f"{path.name} is no state dict that is safe to open: {reason}") from error
    if isinstance(found, dict) and len(found) == 1:
        (found,) = found.values()
    if not isinstance(found, dict) or not all(hasattr(one, "numpy") for one in found.values()):
        raise GardenError(f"{path.name} holds more than one state dict, or none")
    return {name: value.double().numpy() for name, value in found.items()}


def _folded(path: Path, state: Mapping[str, Array]) -> list[tuple[Array, Array]]:
    """In the order of the layers."""
    named = [match for match in map(_WEIGHT.fullmatch, state) if match is not None]
    ordered = sorted(named, key=lambda match: int(match["place"]))
    kernels = [match for match in ordered if state[match.string].ndim == DIMENSIONS]
    norms = [match for match in ordered if state[match.string].ndim == 1]
    if not kernels or len(norms) != len(kernels) - 1:
        raise GardenError(f"{path.name} is no DCGAN's generator: {', '.join(state)}")
    found = []
    for kernel, norm in zip(kernels, [*norms, None], strict=True):
        weight = state[kernel.string]
        if norm is None:
            found.append((weight, np.zeros(weight.shape[1])))
            continue
        of_norm = f"{norm['prefix']}{norm['place']}."
        scale = state[norm.string] / np.sqrt(state[f"{of_norm}running_var"] + EPSILON)
        bias = state[f"{of_norm}bias"] - state[f"{of_norm}running_mean"] * scale
        found.append((weight * scale[None, :, None, None], bias))
    return found
