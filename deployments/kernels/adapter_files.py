"""Reads an adapter as peft saves it: `adapter_config.json`, `adapter_model.safetensors`.

Takes plain LoRA on linear layers and refuses, by name, every option that would change
what the numbers mean. Knows no slot and no graph; never unpickles.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from bestiary.errors import KernelError
from deployments.kernels.checkpoint import READABLE, Config

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
PREFIX = "base_model.model."  # of every tensor; then the module's name in transformers
DOWN, UP = ".lora_A.weight", ".lora_B.weight"

# Keys of peft's LoraConfig that change nothing of what is computed here: who made it and
# how, what the tensors say themselves, and `fan_in_fan_out`, which is about merging.
NEUTRAL = frozenset(
    {
        "auto_mapping",
        "base_model_name_or_path",
        "ensure_weight_tying",
        "eva_config",
        "exclude_modules",
        "fan_in_fan_out",
        "inference_mode",
        "layers_pattern",
        "layers_to_transform",
        "lora_dropout",
        "megatron_core",
        "peft_version",
        "qalora_group_size",
        "revision",
        "runtime_config",
        "target_modules",
    }
)
READ = frozenset(
    {"bias", "init_lora_weights", "lora_alpha", "peft_type", "r", "task_type", "use_rslora"}
)
# Others, as pissa, change the base's weights too, and those are not in the folder.
STARTS_FROM_THE_BASE = (None, True, False, "gaussian", "orthogonal", "eva")

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LowRank:
    """What is added to one module's output: x @ down.T @ up, the scaling being in `up`."""

    down: Matrix  # [rank, in]
    up: Matrix  # [rank, out]


def read_adapter(folder: Path) -> Mapping[str, LowRank]:
    """Module's name in transformers -> what is added to it.

    Raises KernelError for what is missing, broken, or of a kind that is not supported.
    """
    values = _read_config(folder)
    config = Config(values, folder, CONFIG_FILE)
    rank = config.integer("r")
    if rank < 1:
        raise KernelError(f"{folder}: a rank of {rank}")
    alpha = config.number("lora_alpha")
    scaling = alpha / (math.sqrt(rank) if config.flag("use_rslora", False) else rank)
    tensors = _read_tensors(folder)
    modules = {name.removesuffix(DOWN).removesuffix(UP) for name in tensors}
    return {
        module.removeprefix(PREFIX): _low_rank(tensors, module, rank, scaling, folder)
        for module in sorted(modules)
    }


def _read_config(folder: Path) -> Mapping[str, object]:
    try:
        values = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise KernelError(f"{folder} has no readable {CONFIG_FILE}: {error}") from error
    if not isinstance(values, dict):
        raise KernelError(f"{folder}/{CONFIG_FILE} is not an object")
    if values.get("peft_type") != "LORA":
        raise KernelError(f"{folder}: {values.get('peft_type')!r} is not LORA")
    if values.get("task_type") not in (None, "CAUSAL_LM"):
        raise KernelError(f"{folder}: {values['task_type']!r} is not CAUSAL_LM")
    if values.get("bias", "none") != "none":
        raise KernelError(f"{folder}: a bias of {values['bias']!r} is not supported")
    start = values.get("init_lora_weights")
    if start not in STARTS_FROM_THE_BASE:
        raise KernelError(f"{folder}: init_lora_weights {start!r} changes the base's weights")
    for key, value in values.items():
        if value and key not in NEUTRAL | READ:
            raise KernelError(f"{folder}: {key} is not supported")
    return values


def _read_tensors(folder: Path) -> dict[str, Matrix]:
    path = folder / WEIGHTS_FILE
    found: dict[str, Matrix] = {}
    try:
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                found[name] = _matrix(file.get_tensor(name), name, folder)
    except (OSError, SafetensorError) as error:
        raise KernelError(f"{folder} has no readable {WEIGHTS_FILE}: {error}") from error
    if not found:
        raise KernelError(f"{path} is empty")
    return found


def _matrix(value: NDArray[np.generic], name: str, folder: Path) -> Matrix:
    if not (name.startswith(PREFIX) and name.endswith((DOWN, UP))):
        raise KernelError(f"{folder}: {name!r} is not LoRA of a linear layer")
    if value.dtype not in READABLE or value.ndim != 2:
        raise KernelError(f"{folder}: {name!r} is {value.dtype} {value.shape}, not a matrix")
    matrix = value.astype(np.float32)
    if not np.isfinite(matrix).all():
        raise KernelError(f"{folder}: {name!r} has values that are not finite")
    return matrix


def _low_rank(
    tensors: Mapping[str, Matrix], module: str, rank: int, scaling: float, folder: Path
) -> LowRank:
    down, up = tensors.get(module + DOWN), tensors.get(module + UP)
    if down is None or up is None:
        raise KernelError(f"{folder}: {module!r} has only one of its two matrices")
    if down.shape[0] != rank or up.shape[1] != rank:
        raise KernelError(
            f"{folder}: {module!r} is {down.shape} and {up.shape}, not of rank {rank}"
        )
    return LowRank(down, np.ascontiguousarray(up.T) * np.float32(scaling))
