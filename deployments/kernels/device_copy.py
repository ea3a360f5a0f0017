"""Copies between host and device by a one-node graph, so no toolkit is needed.

Knows bytes and where they lie; not what they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from deployments.kernels.provider_options import copying_providers
from deployments.kernels.providers import ProviderChoice

Array = NDArray[np.generic]


class Copier:
    """Identity over a flat buffer; inputs and outputs are bound to where the bytes lie.

    `device` as ONNX Runtime names it: cuda, or cpu in tests.
    """

    def __init__(self, dtype: np.dtype[np.generic], device: str, choice: ProviderChoice) -> None:
        self._dtype = dtype
        self._device = device
        self._session = ort.InferenceSession(_identity(dtype), providers=copying_providers(choice))

    def within_device(self, source: int, target: int, elements: int) -> None:
        self._run((self._device, source), (self._device, target), [elements])

    def to_host(self, source: int, target: Array) -> None:
        self._run((self._device, source), ("cpu", target.ctypes.data), [target.size])

    def to_device(self, source: Array, target: int) -> None:
        """`source` must be contiguous."""
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
