"""Reads a Hugging Face folder: `config.json` and safetensors, one tensor at a time.

Knows file formats only: no architecture, no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import ml_dtypes  # registers numpy's bfloat16, which safetensors asks numpy for
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from bestiary.errors import KernelError

CONFIG_FILE = "config.json"
ONE_FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"
READABLE = frozenset({np.dtype(t) for t in (np.float32, np.float16, np.float64)}) | {
    np.dtype(ml_dtypes.bfloat16)
}


def read_config(folder: Path) -> Mapping[str, object]:
    """`config.json` of a checkpoint. Raises KernelError where it is missing or broken."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise KernelError(f"{folder} has no readable config.json: {error}") from error
    if not isinstance(config, dict):
        raise KernelError(f"{folder}/config.json is not an object")
    return config


class Checkpoint:
    """An open checkpoint; a context manager, because its files are memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self._files = ExitStack()
        self._of: dict[str, safe_open] = {}  # tensor name -> its file
        self.folder = folder
        self.config = Config(read_config(folder), folder)
        for path in _weight_files(folder):
            opened = self._files.enter_context(safe_open(path, framework="np"))
            self._of.update(dict.fromkeys(opened.keys(), opened))

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.close()

    def __contains__(self, name: str) -> bool:
        return name in self._of

    @property
    def names(self) -> tuple[str, ...]:
        """Of all tensors."""
        return tuple(self._of)

    def tensor(self, name: str) -> NDArray[np.float32]:
        """Raises KernelError where the tensor is missing or is not of floats."""
        try:
            found: NDArray[np.generic] = self._of[name].get_tensor(name)  # type: ignore[no-untyped-call]  # safetensors' stub
        except KeyError as error:
            raise KernelError(f"{self.folder} has no tensor {name!r}") from error
        if found.dtype not in READABLE:
            raise KernelError(f"{name!r} in {self.folder} is {found.dtype}, not a float tensor")
        return found.astype(np.float32, copy=False)


class Config:
    """`config.json` with the types that a builder needs, or a KernelError that names the key."""

    def __init__(
        self, values: Mapping[str, object], folder: Path, file_name: str = CONFIG_FILE
    ) -> None:
        self._values = values
        self._folder = folder
        self._file_name = file_name

    @property
    def architecture(self) -> str:
        named = self._values.get("architectures")
        if not isinstance(named, list) or not named or not isinstance(named[0], str):
            raise KernelError(f"{self._folder}/config.json names no architecture")
        return named[0]

    def is_null(self, key: str) -> bool:
        """Whether the key is there and says null, which is not to leave it out."""
        return key in self._values and self._values[key] is None

    def integer(self, key: str, default: int | None = None) -> int:
        value = self._values.get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(key, value, "an integer")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._values.get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, value, "a number")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self._values.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self._wrong(key, value, "a string")
        return value

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of strings, or None where there is none."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self._wrong(key, value, "a list of strings")
        return tuple(value)

    def section(self, key: str) -> Config | None:
        """A nested object, or None where there is none."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._wrong(key, value, "an object")
        return Config(value, self._folder, self._file_name)

    def _wrong(self, key: str, value: object, wanted: str) -> KernelError:
        return KernelError(f"{self._folder}/{self._file_name}: {key} is {value!r}, not {wanted}")


def _weight_files(folder: Path) -> tuple[Path, ...]:
    if (folder / ONE_FILE).is_file():
        return (folder / ONE_FILE,)
    if not (folder / INDEX).is_file():
        raise KernelError(f"{folder} has neither {ONE_FILE} nor {INDEX}")
    shards = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()
    return tuple(folder / shard for shard in sorted(set(shards)))
