"""What goes through a model while it reads a few texts: how large its numbers get, and where.

Quantisation leaves room for it. Measured by torch in a process of its own (this module's
`__main__`, see `torch_process.py`), once by whoever prepares a model, and kept in the build
cache by revision. A model that was never calibrated is built without.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from deployments.kernels.build_cache import BuildCache, BuildKey
from deployments.kernels.calibration_text import TEXTS
from deployments.kernels.torch_process import require_memory, run_torch, torch_main

VERSION = 1
FILE = "calibration.safetensors"
LARGEST_KV, INPUTS = "largest_kv", "inputs."
MOST_TOKENS = 512  # of each text
TEXTS_SHA256 = hashlib.sha256("\0".join(TEXTS).encode()).hexdigest()
IDENTITY = f"{VERSION}-{TEXTS_SHA256[:12]}"  # what a calibrated build is known by

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Calibration:
    """`inputs`: module's name in transformers -> the root mean square of each of its inputs [in].

    `largest_kv` [caches, kv_heads, head_dim]: the largest absolute value of each element of a
    key or value, in the order of layers, keys first, keys as they are turned.
    """

    inputs: Mapping[str, Vector]
    largest_kv: Vector


def calibrate(model: InstalledModel, cache: BuildCache) -> Calibration:
    """Measured where it is not kept yet. Raises KernelError that says why it cannot be."""
    return _read(cache.get_or_build(_key(model), lambda target: _measure(model, target)))


def is_calibrated(model: InstalledModel, cache: BuildCache) -> bool:
    return cache.find(_key(model)) is not None


def kept_calibration(model: InstalledModel, cache: BuildCache) -> Calibration | None:
    """None where nobody has measured it."""
    folder = cache.find(_key(model))
    return None if folder is None else _read(folder)


def _key(model: InstalledModel) -> BuildKey:
    return BuildKey("calibration", VERSION, model.revision, "fp32", (("texts", TEXTS_SHA256),))


def _read(folder: Path) -> Calibration:
    from safetensors.numpy import load_file

    tensors = load_file(folder / FILE)
    largest = tensors.pop(LARGEST_KV)
    return Calibration({name.removeprefix(INPUTS): x for name, x in tensors.items()}, largest)


def _measure(model: InstalledModel, target: Path) -> None:
    require_memory(model)
    if not (model.path / "tokenizer.json").is_file():
        raise KernelError("it has no tokenizer.json")
    run_torch(__name__, model.path, target)


def _run_torch(folder: str, target: str) -> None:
    import torch
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    most = min(MOST_TOKENS, getattr(model.config, "max_position_embeddings", MOST_TOKENS))
    squares: dict[str, NDArray[np.float64]] = {}  # module -> sum over tokens
    count = 0

    def watch(name: str, module: torch.nn.Module) -> None:
        def look(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            x = inputs[0].detach().reshape(-1, inputs[0].shape[-1]).double()
            found = (x**2).sum(0).numpy()
            squares[name] = squares[name] + found if name in squares else found

        module.register_forward_pre_hook(look)

    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        is_table = isinstance(module, torch.nn.Embedding)
        if isinstance(weight, torch.Tensor) and weight.ndim == 2 and not is_table:
            watch(name, module)
    largest: Vector | None = None
    with torch.inference_mode():
        for text in TEXTS:
            ids = tokenizer.encode(text).ids[:most]
            count += len(ids)
            layers = model(torch.tensor([ids]), use_cache=True).past_key_values.layers
            caches = [
                one[0].abs().amax(1) for layer in layers for one in (layer.keys, layer.values)
            ]
            found = torch.stack(caches).float().numpy()
            largest = found if largest is None else np.maximum(largest, found)
    assert largest is not None
    sizes = {
        f"{INPUTS}{name}": np.sqrt(x / count).astype(np.float32) for name, x in squares.items()
    }
    save_file(sizes | {LARGEST_KV: largest}, Path(target) / FILE)


if __name__ == "__main__":
    torch_main(_run_torch)
