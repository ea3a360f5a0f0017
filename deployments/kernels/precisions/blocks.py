"""int8 and int4: every 32 weights of a row have a scale, and so have every 32 activations.

Operators: MatMulNBits and GatherBlockQuantized of
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from collections.abc import Sequence

from deployments.kernels.graph_writer import MICROSOFT, GraphWriter
from deployments.kernels.precisions.block_matrices import BLOCK, quantise_int4
from deployments.kernels.precisions.int8_table import Int8Table
from deployments.kernels.precisions.precision import Matrix, Vector

ACCURACY_INT8 = 4  # MatMulNBits: activations are quantised to int8 too, per row and block


class Int8(Int8Table):
    """Symmetric int8; a tied table is stored once."""

    def linear(
        self,
        x: str,
        weight: Matrix,
        bias: Vector | None,
        name: str,
        sizes: Vector | None = None,
    ) -> str:
        optional = [] if bias is None else ["", "", self.vector(bias, f"{name}.bias")]
        return self._product(x, weight, name, optional, f"{name}/MatMulNBits")

    def head(self, x: str, weight: Matrix, name: str, output: str) -> None:
        self._product(x, weight, name, [], output)

    def _product(self, x: str, weight: Matrix, name: str, optional: list[str], output: str) -> str:
        quantised = self.blocks_of(weight, name)
        data = self.graph.constant(f"{name}.weight.int8", quantised.data)
        scales = self.graph.constant(f"{name}.weight.scales", quantised.scales)
        return block_product(self.graph, [x, data, scales, *optional], weight, 8, output)


class Int4(Int8):
    """Asymmetric int4, the head and the table in int8. Lossy: a card has to allow it."""

    def linear(
        self,
        x: str,
        weight: Matrix,
        bias: Vector | None,
        name: str,
        sizes: Vector | None = None,
    ) -> str:
        self.refuse_partial_blocks(weight, name)
        quantised = quantise_int4(weight)
        stored = [
            self.graph.constant(f"{name}.weight.int4", quantised.data),
            self.graph.constant(f"{name}.weight.scales", quantised.scales),
            self.graph.constant(f"{name}.weight.zeros", quantised.zeros),
        ]
        optional = [] if bias is None else ["", self.vector(bias, f"{name}.bias")]
        inputs = [x, *stored, *optional]
        return block_product(self.graph, inputs, weight, 4, f"{name}/MatMulNBits")


def block_product(
    graph: GraphWriter, inputs: Sequence[str], weight: Matrix, bits: int, name: str
) -> str:
    """MatMulNBits of `inputs` (x, data, scales ...), which stand for `weight`."""
    return graph.node(
        "MatMulNBits",
        inputs,
        name,
        domain=MICROSOFT,
        K=weight.shape[1],
        N=weight.shape[0],
        bits=bits,
        block_size=BLOCK,
        accuracy_level=ACCURACY_INT8,
    )
