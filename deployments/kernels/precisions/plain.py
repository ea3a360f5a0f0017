"""Matrices as they are: float32, or one of the two half types for devices that multiply them."""

from __future__ import annotations

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from deployments.kernels.graph_writer import GraphWriter
from deployments.kernels.precisions.precision import Matrix, Vector

TYPES: dict[int, np.dtype[np.generic]] = {
    TensorProto.FLOAT: np.dtype(np.float32),
    TensorProto.FLOAT16: np.dtype(np.float16),
    TensorProto.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
}


class Plain:
    """Every matrix in `element_type`; logits are float32 all the same."""

    def __init__(self, graph: GraphWriter, element_type: int = TensorProto.FLOAT) -> None:
        self._graph = graph
        self.element_type = int(element_type)

    def linear(
        self,
        x: str,
        weight: Matrix,
        bias: Vector | None,
        name: str,
        sizes: Vector | None = None,
    ) -> str:
        stored = self._graph.constant(f"{name}.weight", self._typed(weight.T))
        product = self._graph.node("MatMul", [x, stored], f"{name}/MatMul")
        if bias is None:
            return product
        return self._graph.node("Add", [product, self.vector(bias, f"{name}.bias")], f"{name}/Add")

    def head(self, x: str, weight: Matrix, name: str, output: str) -> None:
        # Gemm reads the table as it lies, so that one copy serves embedding and head.
        stored = self._graph.constant(f"{name}.weight", self._typed(weight))
        if self.element_type == TensorProto.FLOAT:
            self._graph.node("Gemm", [x, stored], "head/Gemm", outputs=[output], transB=1)
            return
        scores = self._graph.node("Gemm", [x, stored], "head/Gemm", transB=1)
        self._graph.node("Cast", [scores], "head/Cast", outputs=[output], to=int(TensorProto.FLOAT))

    def embedding(self, ids: str, weight: Matrix, name: str) -> str:
        stored = self._graph.constant(f"{name}.weight", self._typed(weight))
        return self._graph.node("Gather", [stored, ids], f"{name}/Gather", axis=0)

    def vector(self, value: Vector, name: str) -> str:
        return self._graph.constant(name, self._typed(value))

    def _typed(self, value: NDArray[np.float32]) -> NDArray[np.generic]:
        return value.astype(TYPES[self.element_type])
