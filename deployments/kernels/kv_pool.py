"""The memory that a decoder keeps keys and values in: rows of tokens, for every layer.

A pool is [caches, slots, kv_heads, max_length, head_dim]; a cache is one layer's keys
or its values. `HostPool` lies where the CPU computes; `device_pool.py` has the other.
"""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass
from typing import Protocol

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

KvTokens = NDArray[np.generic]  # [caches, kv_heads, tokens, head_dim], on the host

ELEMENT_TYPES: dict[str, np.dtype[np.generic]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(bfloat16)": np.dtype(ml_dtypes.bfloat16),
    "tensor(int8)": np.dtype(np.int8),
}


@dataclass(frozen=True, slots=True)
class PoolShape:
    caches: int
    slots: int
    kv_heads: int
    max_length: int  # tokens of one row
    head_dim: int
    dtype: np.dtype[np.generic]

    @property
    def row(self) -> tuple[int, int, int]:
        """Of one slot in one cache."""
        return self.kv_heads, self.max_length, self.head_dim

    @property
    def row_elements(self) -> int:
        return math.prod(self.row)

    @property
    def whole(self) -> tuple[int, int, int, int, int]:
        return self.caches, self.slots, *self.row

    @property
    def bytes(self) -> int:
        return math.prod(self.whole) * self.dtype.itemsize

    def offset(self, cache: int, row: int) -> int:
        """Bytes from the pool's start to a row of a cache; the rows after it follow."""
        return (cache * self.slots + row) * self.row_elements * self.dtype.itemsize


class KvPool(Protocol):
    """Rows can be moved, taken out to the host and put back. Not thread-safe."""

    @property
    def shape(self) -> PoolShape: ...

    @property
    def device(self) -> str:
        """As ONNX Runtime names it: cpu or cuda."""
        ...

    def address(self, cache: int, row: int) -> int:
        """Where `row` of a cache begins in the device's memory."""
        ...

    def move_row(self, source: int, target: int, length: int) -> None:
        """Copies the first `length` tokens of a row over another row."""
        ...

    def copy_out(self, row: int, start: int, stop: int, out: KvTokens | None = None) -> KvTokens:
        """A copy of tokens `start..stop` of a row, in `out` where there is one."""
        ...

    def copy_in(self, row: int, start: int, tokens: KvTokens) -> None:
        """Writes what `copy_out` gave to a row, from its token `start` on."""
        ...


class HostPool:
    """In the process's own memory, which is touched only as rows fill."""

    device = "cpu"

    def __init__(self, shape: PoolShape) -> None:
        self.shape = shape
        self._memory = _untouched(shape)
        self._start = self._memory.ctypes.data

    def address(self, cache: int, row: int) -> int:
        return self._start + self.shape.offset(cache, row)

    def move_row(self, source: int, target: int, length: int) -> None:
        self._memory[:, target, :, :length] = self._memory[:, source, :, :length]

    def copy_out(self, row: int, start: int, stop: int, out: KvTokens | None = None) -> KvTokens:
        tokens = self._memory[:, row, :, start:stop]
        if out is None:
            return tokens.copy()
        out[...] = tokens
        return out

    def copy_to(self, target: KvTokens, row: int) -> None:
        """Fills `target` with as many of the row's first tokens as fit in it."""
        target[...] = self._memory[:, row, :, : target.shape[2]]

    def copy_in(self, row: int, start: int, tokens: KvTokens) -> None:
        self._memory[:, row, :, start : start + tokens.shape[2]] = tokens


def _untouched(shape: PoolShape) -> NDArray[np.generic]:
    """Zeros whose memory is taken page by page, as rows fill.

    numpy asks for huge pages (MADV_HUGEPAGE) for large arrays: the first token of a row
    would then take 2 MB in every head of every layer, the whole pool at once.
    """
    memory = mmap.mmap(-1, shape.bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(memory, shape.dtype).reshape(shape.whole)
