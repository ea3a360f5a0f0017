"""Mixed precision: products in bfloat16, everything between them in float32.

Weights take half the memory, and CPUs with AMX or AVX512-BF16 multiply them several
times as fast; sums stay in float32 (arXiv:1905.12322). ONNX Runtime's own CPU kernels have no
bfloat16: such a graph runs on OpenVINO, see `openvino.py`.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from deployments.kernels.graph_writer import GraphWriter
from deployments.kernels.precisions.precision import Matrix, Vector

BFLOAT16 = int(TensorProto.BFLOAT16)
FLOAT32 = int(TensorProto.FLOAT)


class MixedBfloat16:
    element_type = FLOAT32

    def __init__(self, graph: GraphWriter) -> None:
        self._graph = graph

    def linear(
        self,
        x: str,
        weight: Matrix,
        bias: Vector | None,
        name: str,
        sizes: Vector | None = None,
    ) -> str:
        stored = self._graph.constant(f"{name}.weight", _rounded(weight.T))
        product = self._graph.node("MatMul", [self._halved(x, name), stored], f"{name}/MatMul")
        summed = self._graph.node("Cast", [product], f"{name}/float32", to=FLOAT32)
        if bias is None:
            return summed
        return self._graph.node("Add", [summed, self.vector(bias, f"{name}.bias")], f"{name}/Add")

    def head(self, x: str, weight: Matrix, name: str, output: str) -> None:
        # Gemm reads the table as it lies, so that one copy serves embedding and head.
        stored = self._graph.constant(f"{name}.weight", _rounded(weight))
        scores = self._graph.node("Gemm", [self._halved(x, "head"), stored], "head/Gemm", transB=1)
        self._graph.node("Cast", [scores], "head/float32", outputs=[output], to=FLOAT32)

    def embedding(self, ids: str, weight: Matrix, name: str) -> str:
        stored = self._graph.constant(f"{name}.weight", _rounded(weight))
        rows = self._graph.node("Gather", [stored, ids], f"{name}/Gather", axis=0)
        return self._graph.node("Cast", [rows], f"{name}/float32", to=FLOAT32)

    def vector(self, value: Vector, name: str) -> str:
        return self._graph.constant(name, value.astype(np.float32))

    def _halved(self, x: str, name: str) -> str:
        return self._graph.node("Cast", [x], f"{name}/bfloat16", to=BFLOAT16)


def _rounded(value: NDArray[np.float32]) -> NDArray[np.generic]:
    return value.astype(ml_dtypes.bfloat16)
