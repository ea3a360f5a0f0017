"""Which networks an image model's folder holds: diffusers' layout, read without diffusers.

`model_index.json` names one folder per component; a folder without one is a single component.
https://huggingface.co/docs/diffusers/using-diffusers/loading#diffusers-pipelines
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bestiary.errors import KernelError

INDEX_FILE = "model_index.json"
CONFIG_FILE = "config.json"
SCORER = "scorer"  # a folder beside the pipeline's own, which diffusers knows nothing of


@dataclass(frozen=True, slots=True)
class Component:
    name: str  # as the index has it; "" for a folder that is one
    architecture: str  # its class
    folder: Path


def components_of(folder: Path) -> tuple[Component, ...]:
    """In the order of their names; schedulers and tokenizers are none. Raises KernelError."""
    index = folder / INDEX_FILE
    if not index.is_file():
        return (_component("", folder),)
    named = {name for name in read_json(index) if not name.startswith("_")}
    folders = [folder / name for name in sorted(named | {SCORER})]
    return tuple(_component(one.name, one) for one in folders if (one / CONFIG_FILE).is_file())


def component(folder: Path, name: str) -> Component | None:
    return next((one for one in components_of(folder) if one.name == name), None)


def read_json(path: Path) -> dict[str, Any]:
    """Raises KernelError where it is not there, or not a JSON object."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise KernelError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise KernelError(f"{path} is not a JSON object")
    return found


def _component(name: str, folder: Path) -> Component:
    config = read_json(folder / CONFIG_FILE)
    architectures = config.get("architectures") or [None]
    architecture = config.get("_class_name") or architectures[0]
    if not architecture:
        raise KernelError(f"{folder / CONFIG_FILE} names no class")
    return Component(name, str(architecture), folder)
