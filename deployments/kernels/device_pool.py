"""A KV pool in a device's memory. Rows move by a one-node graph, so no toolkit is needed.

The memory is ONNX Runtime's own (`OrtValue`), on the provider that runs the decoder.
Written for CUDA and run in tests on the CPU provider; its speed on a GPU is unmeasured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

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
        self._copier = _Copier(shape.dtype, device, choice)

    def address(self, cache: int, row: int) -> int:
        return self._start + self.shape.offset(cache, row)

    def move_row(self, source: int, target: int, length: int) -> None:
        """Whole rows: one contiguous copy each, whatever `length` is."""
        for cache in range(self.shape.caches):
            self._copier.within_device(
                self.address(cache, source), self.address(cache, target), self.shape.row_elements
            )

    def copy_out(self, row: int, start: int, stop: int) -> KvTokens:
        found = np.empty((self.shape.caches, *self.shape.row), self.shape.dtype)
        for cache in range(self.shape.caches):
            self._copier.to_host(self.address(cache, row), found[cache])
        return found[:, :, start:stop].copy()

    def copy_in(self, row: int, start: int, tokens: KvTokens) -> None:
        step = self.shape.head_dim * self.shape.dtype.itemsize
        for cache in range(self.shape.caches):
            for head in range(self.shape.kv_heads):
                place = self.address(cache, row) + (head * self.shape.max_length + start) * step
                self._copier.to_device(np.ascontiguousarray(tokens[cache, head]), place)


class _Copier:
    """Identity over a flat buffer; inputs and outputs are bound to where the bytes lie."""

    def __init__(self, dtype: np.dtype[np.generic], device: str, choice: ProviderChoice) -> None:
        self._dtype = dtype
        self._device = device
        self._session = ort.InferenceSession(_identity(dtype), providers=list(choice.providers))

    def within_device(self, source: int, target: int, elements: int) -> None:
        self._run((self._device, source), (self._device, target), [elements])

    def to_host(self, source: int, target: KvTokens) -> None:
        self._run((self._device, source), ("cpu", target.ctypes.data), [target.size])

    def to_device(self, source: KvTokens, target: int) -> None:
        self._run(("cpu", source.ctypes.data), (self._device, target), [source.size])

    def _run(self, source: tuple[str, int], target: tuple[str, int], shape: Sequence[int]) -> None:
        bound = self._session.io_binding()
        bound.bind_input("x", source[0], 0, self._dtype.type, shape, source[1])
        bound.bind_output("y", target[0], 0, self._dtype.type, shape, target[1])
        self._session.run_with_iobinding(bound)


def _identity(dtype: np.dtype[np.generic]) -> bytes:
    from onnx import helper

    element = helper.np_dtype_to_tensor_dtype(dtype)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "copy",
        [helper.make_tensor_value_info("x", element, ["elements"])],
        [helper.make_tensor_value_info("y", element, ["elements"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content
