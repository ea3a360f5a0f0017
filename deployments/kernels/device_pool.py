"""A KV pool in a device's memory.

The memory is ONNX Runtime's own (`OrtValue`), on the provider that runs the decoder.
Written for CUDA and run in tests on the CPU provider; its speed on a GPU is unmeasured.
"""

from __future__ import annotations

import numpy as np
import onnxruntime as ort

from deployments.kernels.device_copy import Copier
from deployments.kernels.kv_pool import KvTokens, PoolShape
from deployments.kernels.providers import ProviderChoice


class DevicePool:
    """`device` is cuda, or cpu in tests."""

    def __init__(self, shape: PoolShape, device: str, choice: ProviderChoice) -> None:
        self.shape = shape
        self.device = device
        self._memory = ort.OrtValue.ortvalue_from_shape_and_type(
            list(shape.whole), shape.dtype.type, device, 0
        )
        self._start = int(self._memory.data_ptr())
        self._copier = Copier(shape.dtype, device, choice)

    def address(self, cache: int, row: int) -> int:
        return self._start + self.shape.offset(cache, row)

    def move_row(self, source: int, target: int, length: int) -> None:
        """Whole rows: one contiguous copy each, whatever `length` is."""
        for cache in range(self.shape.caches):
            self._copier.within_device(
                self.address(cache, source), self.address(cache, target), self.shape.row_elements
            )

    def copy_out(self, row: int, start: int, stop: int, out: KvTokens | None = None) -> KvTokens:
        found = np.empty((self.shape.caches, *self.shape.row), self.shape.dtype)
        for cache in range(self.shape.caches):
            self._copier.to_host(self.address(cache, row), found[cache])
        tokens = found[:, :, start:stop]
        if out is None:
            return tokens.copy()
        out[...] = tokens
        return out

    def copy_in(self, row: int, start: int, tokens: KvTokens) -> None:
        step = self.shape.head_dim * self.shape.dtype.itemsize
        for cache in range(self.shape.caches):
            for head in range(self.shape.kv_heads):
                place = self.address(cache, row) + (head * self.shape.max_length + start) * step
                self._copier.to_device(np.ascontiguousarray(tokens[cache, head]), place)
