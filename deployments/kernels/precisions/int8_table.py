"""The embedding table in int8, as all quantised precisions keep it; float32 around it.

Its error does not show: rows are read one at a time and never multiplied by.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from bestiary.errors import KernelError
from deployments.kernels.graph_writer import MICROSOFT, GraphWriter
from deployments.kernels.precisions.block_matrices import BLOCK, Int8Matrix, quantise_int8
from deployments.kernels.precisions.precision import Matrix, Vector


class Int8Table:
    """The part of a quantised precision that is the same in all of them."""

    element_type: int = TensorProto.FLOAT

    def __init__(self, graph: GraphWriter) -> None:
        self.graph = graph

    def embedding(self, ids: str, weight: Matrix, name: str) -> str:
        """See `Precision.embedding`. GatherBlockQuantized, as `blocks.py` has its operators."""
        # Rank 3, [rows, blocks, 32], because MatMulNBits wants that shape: with tied
        # embeddings both operators then read one copy of the data.
        quantised = self.blocks_of(weight, name)
        data = self.graph.constant(f"{name}.weight.int8", quantised.data)
        scales = self.graph.constant(f"{name}.rows.scales", quantised.scales[..., np.newaxis])
        blocks = self.graph.node(
            "GatherBlockQuantized",
            [data, ids, scales],
            f"{name}/Gather",
            domain=MICROSOFT,
            bits=8,
            block_size=BLOCK,
            gather_axis=0,
            quantize_axis=2,
        )
        shape = self.graph.constant(
            f"{name}.shape", np.array([0, 0, weight.shape[1]], dtype=np.int64)
        )
        return self.graph.node("Reshape", [blocks, shape], f"{name}/Reshape")

    def vector(self, value: Vector, name: str) -> str:
        return self.graph.constant(name, value)

    def blocks_of(self, weight: Matrix, name: str) -> Int8Matrix:
        """Raises KernelError where rows are not whole blocks."""
        self.refuse_partial_blocks(weight, name)
        return quantise_int8(weight)

    def refuse_partial_blocks(self, weight: Matrix, name: str) -> None:
        """Raises KernelError where rows are not whole blocks."""
        if weight.shape[1] % BLOCK:
            raise KernelError(
                f"{name} is {weight.shape[1]} wide: this precision needs a multiple of {BLOCK}; "
                "use fp32"
            )
