"""A model that is another card's weights and a little more: heads, and low-rank changes.

`delta.safetensors` beside a whole `config.json`:

    NAME                     a tensor of the composed model, added or in the place of the base's
    NAME.lora_A, NAME.lora_B [rank, in] and [out, rank]: added to the base's NAME as B @ A
                             (arXiv:2106.09685, the scale already in B)
    metadata base_sha256     of the base's model.safetensors; another one is refused
    metadata base_prefix     what the composed model has in front of the base's names

The tokenizer is the base's. Numpy and safetensors only, one tensor at a time.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from bestiary.errors import ChecksumMismatch, GardenError
from bestiary.garden.checksum import sha256_of
from bestiary.garden.safetensors_writer import Float32, write_float32

DELTA, WEIGHTS, CONFIG = "delta.safetensors", "model.safetensors", "config.json"
DOWN, UP = ".lora_A", ".lora_B"
BASE_SHA256, BASE_PREFIX = "base_sha256", "base_prefix"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)


class _Slice(Protocol):
    def get_shape(self) -> list[int]: ...
    def get_dtype(self) -> str: ...


class _Tensors(Protocol):
    """What of an opened safetensors file is used here; its own class is not typed."""

    def keys(self) -> list[str]: ...
    def metadata(self) -> dict[str, str] | None: ...
    def get_slice(self, name: str) -> _Slice: ...
    def get_tensor(self, name: str) -> npt.NDArray[np.generic]: ...


@dataclass(frozen=True)
class Delta:
    """The files of one delta over the folder of an installed base."""

    folder: Path
    base: Path

    def compose(self, staged: Path) -> None:
        """Fills the empty folder `staged` with the whole model, in float32.

        Raises GardenError where the files do not fit one another, ChecksumMismatch where the
        base is not the one that the delta was made over.
        """
        for name in (DELTA, CONFIG):
            if not (self.folder / name).is_file():
                raise GardenError(f"a delta needs {name}; {self.folder} has none")
        if not (self.base / WEIGHTS).is_file():
            raise GardenError(f"{self.base} has no {WEIGHTS}; a base in shards cannot be composed")
        try:
            with (
                safe_open(self.folder / DELTA, "numpy") as delta,
                safe_open(self.base / WEIGHTS, "numpy") as base,
            ):
                _compose(delta, base, self.base / WEIGHTS, staged)
        except SafetensorError as error:
            raise GardenError(f"{self.folder / DELTA} cannot be read: {error}") from error
        shutil.copyfile(self.folder / CONFIG, staged / CONFIG)
        for name in TOKENIZER_FILES:
            if (self.base / name).is_file():
                shutil.copyfile(self.base / name, staged / name)

    @property
    def size(self) -> int:
        """About what the composed model takes, in bytes."""
        base, delta = self.base / WEIGHTS, self.folder / DELTA
        return sum(path.stat().st_size for path in (base, delta) if path.is_file())


def _compose(delta: _Tensors, base: _Tensors, weights: Path, staged: Path) -> None:
    said = delta.metadata() or {}
    if BASE_SHA256 not in said:
        raise GardenError(f"{DELTA} does not say which base it belongs to ({BASE_SHA256})")
    found = sha256_of(weights)
    if found != said[BASE_SHA256]:
        raise ChecksumMismatch(f"{weights} has {found}, the delta is over {said[BASE_SHA256]}")
    prefix = said.get(BASE_PREFIX, "")
    names = list(delta.keys())
    of_base = {f"{prefix}{name}": name for name in list(base.keys()) if _is_learned(base, name)}
    changed = {name.removesuffix(DOWN) for name in names if name.endswith(DOWN)}
    whole = [name for name in names if not name.endswith((DOWN, UP))]
    _check_pairs(names, changed, of_base)
    shapes = {name: tuple(base.get_slice(of_base[name]).get_shape()) for name in of_base}
    shapes |= {name: tuple(delta.get_slice(name).get_shape()) for name in whole}

    def values(name: str) -> Float32:
        if name not in of_base or name in whole:
            return _float32(delta, name)
        tensor = _float32(base, of_base[name])
        if name in changed:
            down, up = _float32(delta, name + DOWN), _float32(delta, name + UP)
            if (*up.shape[:1], *down.shape[1:]) != tensor.shape:
                raise GardenError(f"{DELTA}: {name} is {tensor.shape}, its change {up.shape}")
            tensor = tensor + up @ down
        return tensor

    write_float32(staged, shapes, values)


def _check_pairs(names: Sequence[str], changed: set[str], of_base: dict[str, str]) -> None:
    for name in changed:
        if name + UP not in names:
            raise GardenError(f"{DELTA} has {name}{DOWN} without {name}{UP}")
        if name not in of_base:
            raise GardenError(f"{DELTA} changes {name}, which the base does not have")
    lone = [one for one in names if one.endswith(UP) and one.removesuffix(UP) not in changed]
    if lone:
        raise GardenError(f"{DELTA} has {lone[0]} without its {DOWN}")


def _is_learned(file: _Tensors, name: str) -> bool:
    return "F" in file.get_slice(name).get_dtype()  # not position ids


def _float32(file: _Tensors, name: str) -> Float32:
    tensor: Float32 = np.asarray(file.get_tensor(name), np.float32)
    return tensor
