"""How matrices are stored and multiplied: one class per precision, picked by name.

A precision writes linear layers, the embedding table and the head. It knows
nothing of attention or of any architecture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from bestiary.errors import KernelError
from deployments.kernels.graph_writer import MICROSOFT, GraphWriter

BLOCK = 32  # weights that share one int8 scale
ACCURACY_INT8 = 4  # MatMulNBits: activations are quantised to int8 too, per row and block
ZERO_POINT = 128  # what MatMulNBits and GatherBlockQuantized take for 8 bits by default


class Precision(Protocol):
    """Writes matrices into one graph. A weight is [out, in], as torch stores it."""

    element_type: int  # of activations and of the KV cache
    dtype: type[np.floating]

    def linear(
        self,
        x: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32] | None,
        name: str,
    ) -> str:
        """x [..., in] -> [..., out]."""
        ...

    def head(self, x: str, weight: NDArray[np.float32], name: str, output: str) -> None:
        """x [rows, in] -> `output`, float32 [rows, out]. Shares the embedding of that `name`."""
        ...

    def embedding(self, ids: str, weight: NDArray[np.float32], name: str) -> str:
        """ids int64 [...] -> rows of weight [rows, width]: [..., width]."""
        ...

    def vector(self, value: NDArray[np.float32], name: str) -> str:
        """A bias or a norm's weight, in the activations' type."""
        ...


class FullPrecision:
    """Plain float32, or float16 for devices that multiply it fast."""

    def __init__(self, graph: GraphWriter, half: bool = False) -> None:
        self._graph = graph
        self.element_type: int = TensorProto.FLOAT16 if half else TensorProto.FLOAT
        self.dtype: type[np.floating] = np.float16 if half else np.float32

    def linear(
        self,
        x: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32] | None,
        name: str,
    ) -> str:
        stored = self._graph.constant(f"{name}.weight", weight.T.astype(self.dtype))
        product = self._graph.node("MatMul", [x, stored], f"{name}/MatMul")
        if bias is None:
            return product
        return self._graph.node("Add", [product, self.vector(bias, f"{name}.bias")], f"{name}/Add")

    def head(self, x: str, weight: NDArray[np.float32], name: str, output: str) -> None:
        # Gemm reads the table as it lies, so that one copy serves embedding and head.
        stored = self._graph.constant(f"{name}.weight", weight.astype(self.dtype))
        if self.element_type == TensorProto.FLOAT:
            self._graph.node("Gemm", [x, stored], "head/Gemm", outputs=[output], transB=1)
            return
        scores = self._graph.node("Gemm", [x, stored], "head/Gemm", transB=1)
        self._graph.node("Cast", [scores], "head/Cast", outputs=[output], to=int(TensorProto.FLOAT))

    def embedding(self, ids: str, weight: NDArray[np.float32], name: str) -> str:
        stored = self._graph.constant(f"{name}.weight", weight.astype(self.dtype))
        return self._graph.node("Gather", [stored, ids], f"{name}/Gather", axis=0)

    def vector(self, value: NDArray[np.float32], name: str) -> str:
        return self._graph.constant(name, value.astype(self.dtype))


class Int8:
    """Symmetric int8 in blocks of 32 along the input; activations are quantised per row.

    Operators: MatMulNBits and GatherBlockQuantized of
    https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
    """

    element_type: int = TensorProto.FLOAT
    dtype: type[np.floating] = np.float32

    def __init__(self, graph: GraphWriter) -> None:
        self._graph = graph

    def linear(
        self,
        x: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32] | None,
        name: str,
    ) -> str:
        optional = [] if bias is None else ["", "", self.vector(bias, f"{name}.bias")]
        return self._product(x, weight, name, optional, f"{name}/MatMulNBits")

    def head(self, x: str, weight: NDArray[np.float32], name: str, output: str) -> None:
        self._product(x, weight, name, [], output)

    def _product(
        self, x: str, weight: NDArray[np.float32], name: str, optional: list[str], output: str
    ) -> str:
        quantised = self._quantised(weight, name)
        data = self._graph.constant(f"{name}.weight.int8", quantised.data)
        scales = self._graph.constant(f"{name}.weight.scales", quantised.scales)
        return self._graph.node(
            "MatMulNBits",
            [x, data, scales, *optional],
            output,
            domain=MICROSOFT,
            K=weight.shape[1],
            N=weight.shape[0],
            bits=8,
            block_size=BLOCK,
            accuracy_level=ACCURACY_INT8,
        )

    def embedding(self, ids: str, weight: NDArray[np.float32], name: str) -> str:
        # Rank 3, [rows, blocks, 32], because MatMulNBits wants that shape: with tied
        # embeddings both operators then read one copy of the data.
        quantised = self._quantised(weight, name)
        data = self._graph.constant(f"{name}.weight.int8", quantised.data)
        scales = self._graph.constant(f"{name}.rows.scales", quantised.scales[..., np.newaxis])
        blocks = self._graph.node(
            "GatherBlockQuantized",
            [data, ids, scales],
            f"{name}/Gather",
            domain=MICROSOFT,
            bits=8,
            block_size=BLOCK,
            gather_axis=0,
            quantize_axis=2,
        )
        shape = self._graph.constant(
            f"{name}.shape", np.array([0, 0, weight.shape[1]], dtype=np.int64)
        )
        return self._graph.node("Reshape", [blocks, shape], f"{name}/Reshape")

    def vector(self, value: NDArray[np.float32], name: str) -> str:
        return self._graph.constant(name, value)

    def _quantised(self, weight: NDArray[np.float32], name: str) -> Int8Matrix:
        if weight.shape[1] % BLOCK:
            raise KernelError(
                f"{name} is {weight.shape[1]} wide: int8 needs a multiple of {BLOCK}; use fp32"
            )
        return quantise_int8(weight)


class Int8Matrix(NamedTuple):
    """weight = (data - 128) * scales, block by block."""

    data: NDArray[np.uint8]  # [out, blocks, 32]
    scales: NDArray[np.float32]  # [out, blocks]


def quantise_int8(weight: NDArray[np.float32]) -> Int8Matrix:
    """A weight [out, in]; `in` must be a multiple of 32."""
    blocks = weight.reshape(weight.shape[0], -1, BLOCK)
    scales = np.abs(blocks).max(axis=-1) / np.float32(127)
    scales[scales == 0] = 1
    data = np.rint(blocks / scales[..., np.newaxis]) + ZERO_POINT
    return Int8Matrix(data.astype(np.uint8), scales)


PRECISIONS: Mapping[str, Callable[[GraphWriter], Precision]] = {
    "fp32": FullPrecision,
    "fp16": lambda graph: FullPrecision(graph, half=True),
    "int8": Int8,
}


def precision(name: str, graph: GraphWriter) -> Precision:
    """Raises KernelError for an unknown name, which lists the known ones."""
    try:
        return PRECISIONS[name](graph)
    except KeyError as error:
        raise KernelError(f"no precision {name!r}; known: {', '.join(PRECISIONS)}") from error
