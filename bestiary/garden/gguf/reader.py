"""What a GGUF file says, typed. Knows no architecture.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from gguf import GGUFReader
from gguf.quants import dequantize

from bestiary.errors import GardenError

Float32 = npt.NDArray[np.float32]
_T = TypeVar("_T", int, float, bool, str)
_REQUIRED: Any = object()
_UNREADABLE = (ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError)


class _Reader(GGUFReader):  # type: ignore[misc]  # the gguf package has no types
    """The package's reader, seven times faster and safe on a file that ends early or lies."""

    @property
    def data(self) -> npt.NDArray[np.uint8]:
        return self._bytes

    @data.setter
    def data(self, mapped: npt.NDArray[np.uint8]) -> None:
        # Slices of np.memmap cost 30 us each, those of a plain view of it 1 us; a
        # vocabulary takes 250,000 of them.
        self._bytes = np.asarray(mapped)

    def _get(
        self, offset: int, dtype: npt.DTypeLike, count: int = 1, override_order: Any = None
    ) -> npt.NDArray[Any]:
        # The package slices past the end without a word and then loops over a length from the file.
        item = np.dtype(dtype).newbyteorder(override_order or self.byte_order)
        start = int(offset)
        end = start + item.itemsize * int(count)
        if not start <= end <= self._bytes.size:
            raise ValueError(f"the file ends at byte {self._bytes.size}, before byte {end}")
        return self._bytes[start:end].view(item)


@dataclass(frozen=True)
class Tensor:
    """One tensor, not read yet. `shape` as numpy and transformers have it: rows first."""

    name: str
    shape: tuple[int, ...]
    type: str  # GGUF's name: F32, Q4_1 ...
    _stored: Any

    def values(self) -> Float32:
        """Dequantised by the gguf package; exact, since every GGUF block fits float32."""
        try:
            dense: Float32 = dequantize(self._stored.data, self._stored.tensor_type)
        except NotImplementedError as error:
            raise GardenError(f"GGUF tensor {self.name}: {error}") from error
        return dense.reshape(self.shape)

    def same_bytes(self, other: Tensor) -> bool:
        return self.type == other.type and np.array_equal(self._stored.data, other._stored.data)


class GgufFile:
    """Metadata under `general.architecture` and the tensors of one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            reader = _Reader(path)
        except _UNREADABLE as error:
            raise GardenError(f"{path} is not a readable GGUF file: {error}") from error
        self._fields = reader.fields
        self._tensors = {
            tensor.name: Tensor(
                tensor.name,
                tuple(int(size) for size in reversed(tensor.shape)),
                tensor.tensor_type.name,
                tensor,
            )
            for tensor in reader.tensors
        }
        self.architecture = self.text("general.architecture")

    def __contains__(self, key: str) -> bool:
        return key in self._fields

    def integer(self, key: str, default: int = _REQUIRED) -> int:
        return self._scalar(key, int, default)

    def real(self, key: str, default: float = _REQUIRED) -> float:
        """Shortest decimal that is the stored float32: 1e-05, not 9.999999747378752e-06."""
        return float(str(np.float32(self._scalar(key, float, default))))

    def flag(self, key: str, default: bool = _REQUIRED) -> bool:
        return self._scalar(key, bool, default)

    def text(self, key: str, default: str = _REQUIRED) -> str:
        return self._scalar(key, str, default)

    def holds_array(self, key: str) -> bool:
        field = self._fields.get(key)
        return field is not None and isinstance(field.contents(), list)

    def array(self, key: str) -> list[Any] | None:
        """The values of an array; None where the file has none under the key."""
        field = self._fields.get(key)
        if field is None:
            return None
        value = field.contents()
        if not isinstance(value, list):
            raise GardenError(f"{self.path}: {key} is not an array")
        return value

    def tensors(self) -> Iterator[Tensor]:
        return iter(self._tensors.values())

    def tensor(self, name: str) -> Tensor | None:
        return self._tensors.get(name)

    def _scalar(self, key: str, kind: type[_T], default: _T) -> _T:
        field = self._fields.get(key)
        if field is None:
            if default is _REQUIRED:
                raise GardenError(f"{self.path} has no {key} in its metadata")
            return default
        value = field.contents()
        if isinstance(value, list) or (kind is str) != isinstance(value, str):
            raise GardenError(f"{self.path}: {key} is not a {kind.__name__}")
        return kind(value)
