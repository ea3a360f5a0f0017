"""w8a16 and w8row: int8 weights with one scale a row, multiplied as bytes (AMX, VNNI).

Several times faster than MatMulNBits at 16 rows and in prompts. `w8a16` takes
activations in 16 bits and is nearly lossless, `w8row` in 8 (`activation_bytes.py`).
Operator: MatMulIntegerToFloat of
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deployments.kernels.graph_writer import MICROSOFT, GraphWriter
from deployments.kernels.precisions.activation_bytes import ActivationBytes, Bytes, zero
from deployments.kernels.precisions.int8_table import Int8Table
from deployments.kernels.precisions.precision import Matrix, Vector
from deployments.kernels.precisions.smoothing import smoothing

LARGEST = 127


class RowMatrix(NamedTuple):
    """weight = data.T * scales, row by row."""

    data: NDArray[np.int8]  # [in, out]
    scales: NDArray[np.float32]  # [out]


def quantise_rows(weight: Matrix) -> RowMatrix:
    scales = np.abs(weight).max(axis=1) / np.float32(LARGEST)
    scales[scales == 0] = 1
    data = np.rint(weight / scales[:, np.newaxis]).astype(np.int8)
    return RowMatrix(np.ascontiguousarray(data.T), scales)


def _rounded(weight: Matrix) -> Matrix:
    matrix = quantise_rows(weight)
    rounded: Matrix = matrix.data.T * matrix.scales[:, np.newaxis]
    return rounded


class Rows(Int8Table):
    """The head has its own copy of a tied table: its operator wants it turned around."""

    def __init__(
        self, graph: GraphWriter, activations: Callable[[GraphWriter], ActivationBytes]
    ) -> None:
        super().__init__(graph)
        self._activations = activations(graph)
        # By activation, with what it was divided by: gate and up read the same.
        self._written: dict[str, tuple[Bytes, Vector | None]] = {}

    def linear(
        self,
        x: str,
        weight: Matrix,
        bias: Vector | None,
        name: str,
        sizes: Vector | None = None,
    ) -> str:
        output = f"{name}/out"
        if bias is None:
            return self._product(x, weight, name, output, sizes)
        product = self._product(x, weight, name, f"{name}/product", sizes)
        return self.graph.node("Add", [product, self.vector(bias, f"{name}.bias")], output)

    def head(self, x: str, weight: Matrix, name: str, output: str) -> None:
        self._product(x, weight, f"{name}.head", output)

    def _product(
        self, x: str, weight: Matrix, name: str, output: str, sizes: Vector | None = None
    ) -> str:
        if x not in self._written:
            scales = None if sizes is None else smoothing(weight, sizes, _rounded)
            written = self._activations.write(x, weight.shape[1], f"{name}/bytes", scales)
            self._written[x] = written, scales
        bytes_of_x, scales = self._written[x]
        matrix = quantise_rows(weight if scales is None else weight * scales)
        product = self.graph.node(
            "MatMulIntegerToFloat",
            [
                bytes_of_x.data,
                self.graph.constant(f"{name}.weight.rows", matrix.data),
                bytes_of_x.step,
                self.graph.constant(f"{name}.weight.scales", matrix.scales),
                zero(self.graph),
            ],
            f"{name}/MatMulIntegerToFloat",
            domain=MICROSOFT,
        )
        return self._activations.restored(product, bytes_of_x.restore, name, output)
