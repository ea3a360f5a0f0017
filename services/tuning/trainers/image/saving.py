"""A tuned pipeline's folder: the base's files, and the UNet with the adapter merged into it.

`adapter/` beside them is the adapter alone, as peft saves it; the garden does not serve it.
"""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import save_file

from bestiary.garden.installed import PROVENANCE
from services.tuning.trainers.image.base_pipeline import UNET

WEIGHTS = "diffusion_pytorch_model.safetensors"
ADAPTER = "adapter"


def save_tuned(model: PeftModel, base: Path, folder: Path) -> None:
    """The weights in the base's own precision; what is left of an earlier try is replaced."""
    shutil.copytree(base, folder, ignore=_replaced(base), dirs_exist_ok=True)
    merged = copy.deepcopy(model).merge_and_unload()
    dtype = _dtype_of(base / UNET)
    weights = {name: one.detach().to("cpu", dtype) for name, one in merged.state_dict().items()}
    contiguous = {name: one.contiguous() for name, one in weights.items()}
    save_file(contiguous, folder / UNET / WEIGHTS, {"format": "pt"})
    model.save_pretrained(folder / ADAPTER, safe_serialization=True)
    (folder / ADAPTER / "README.md").unlink(missing_ok=True)  # a form that nobody has filled in


def _replaced(base: Path) -> shutil._IgnoreFunction:  # type: ignore[name-defined]
    """The UNet's weights, and where the base came from."""

    def ignored(folder: str, names: list[str]) -> set[str]:
        if Path(folder) == base:
            return {PROVENANCE} & set(names)
        if Path(folder) == base / UNET:
            return {name for name in names if name.endswith((".safetensors", ".index.json"))}
        return set()

    return ignored


def _dtype_of(folder: Path) -> torch.dtype:
    """Of the first tensor that is stored."""
    first = sorted(folder.glob("*.safetensors"))[0]
    with safe_open(first, "pt") as weights:
        name = next(iter(weights.keys()))
        found: torch.dtype = weights.get_tensor(name).dtype
        return found
