"""Reading an image model's folder: is it whole and safe, and what does it say of itself?

Two layouts: diffusers' pipelines (`model_index.json`, and a folder with `config.json` and weights
for each component), and a single network (`config.json` and weights at the top). Opens JSON only.
https://huggingface.co/docs/diffusers/using-diffusers/other-formats
"""

from __future__ import annotations

import json
from pathlib import Path

from bestiary.errors import GardenError
from bestiary.garden.file_kinds import PICKLE_SUFFIXES

_INDEX, _CONFIG = "model_index.json", "config.json"
_SCHEDULER, _SCHEDULER_CONFIG = "scheduler", "scheduler_config.json"


class ImageFolder:
    """Raises GardenError on construction for a folder that cannot be served."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if (path / _INDEX).is_file():
            for name in self.components:
                _check_network(path / name)
            if not (path / _SCHEDULER / _SCHEDULER_CONFIG).is_file():
                raise GardenError(f"{path} has no {_SCHEDULER}/{_SCHEDULER_CONFIG}")
        else:
            _check_network(path)

    @property
    def components(self) -> tuple[str, ...]:
        """Folders of networks. Raises GardenError where there is none."""
        named = sorted(name for name in _json(self.path / _INDEX) if not name.startswith("_"))
        found = tuple(name for name in named if (self.path / name / _CONFIG).is_file())
        if not found:
            raise GardenError(f"{self.path} holds none of the networks that its {_INDEX} names")
        return found

    @property
    def architecture(self) -> str:
        """The pipeline's or the network's class."""
        index = self.path / _INDEX
        return _class_of(index if index.is_file() else self.path / _CONFIG)


def _check_network(folder: Path) -> None:
    if not (folder / _CONFIG).is_file():
        raise GardenError(f"{folder} has no {_CONFIG}; save the model with save_pretrained")
    _class_of(folder / _CONFIG)
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(one.name for one in folder.iterdir() if one.suffix in PICKLE_SUFFIXES)
    if pickles:
        raise GardenError(
            f"{folder} has its weights only as pickles ({', '.join(pickles)}), which can run code "
            "when opened; save them as safetensors first (save_pretrained does)"
        )
    raise GardenError(f"{folder} has no safetensors file")


def _class_of(path: Path) -> str:
    config = _json(path)
    architectures = config.get("architectures")
    first = architectures[0] if isinstance(architectures, list) and architectures else None
    name = config.get("_class_name") or first
    if not isinstance(name, str):
        raise GardenError(f"{path} names no class")
    return name


def _json(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise GardenError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise GardenError(f"{path} is not a JSON object")
    return content
