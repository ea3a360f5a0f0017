"""q41fast: the weights of a Q4_1 file as that file had them, on a kernel that has no offsets.

Q4_1 (https://github.com/ggml-org/ggml, ggml-quants.c) keeps 32 weights as w = d * level + m
with levels 0..15. MatMulNBits is fast for w = scale * (level - 8) only, and what is left is
one number a block, by which the sum of the block's activations is multiplied:

    x . w  =  x . d * (level - 8)  +  sum(x) * (m + 8 d)

The second product is 1/32 of the first. Weights that are not of this form are refused, not
rounded: `int4` does that, and `int8` is nearly lossless for any. Head and table are int8.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import KernelError
from deployments.kernels.precisions.block_matrices import BLOCK, in_blocks, pack_int4
from deployments.kernels.precisions.blocks import Int8, block_product
from deployments.kernels.precisions.precision import Matrix, Vector

LEVELS = 15  # from the lowest to the highest
MIDDLE = 8  # the level that the kernel takes for zero
EXACT = 2.0**-20  # of a block's largest weight: what float32 sums may be off by


class Q41Matrix(NamedTuple):
    """weight = levels * scales + lowest, block by block."""

    levels: NDArray[np.uint8]  # 0..15, [out, blocks, 32]
    scales: NDArray[np.float32]  # [out, blocks]
    lowest: NDArray[np.float32]  # [out, blocks]


class Q41(Int8):
    def linear(
        self,
        x: str,
        weight: Matrix,
        bias: Vector | None,
        name: str,
        sizes: Vector | None = None,
    ) -> str:
        self.refuse_partial_blocks(weight, name)
        found = find_q41(weight)
        if found is None:
            raise KernelError(
                f"{name} was not made from Q4_1, so q41fast would not be exact; use int8, or int4"
            )
        graph = self.graph
        data = graph.constant(f"{name}.weight.q41", pack_int4(found.levels))
        scales = graph.constant(f"{name}.weight.scales", found.scales)
        product = block_product(graph, [x, data, scales], weight, 4, f"{name}/MatMulNBits")
        offsets = found.lowest + MIDDLE * found.scales
        stored = graph.constant(f"{name}.weight.offsets", np.ascontiguousarray(offsets.T))
        shifted = graph.node("MatMul", [self._block_sums(x, name), stored], f"{name}/offsets")
        summed = graph.node("Add", [product, shifted], f"{name}/sum")
        if bias is None:
            return summed
        return graph.node("Add", [summed, self.vector(bias, f"{name}.bias")], f"{name}/Add")

    def _block_sums(self, x: str, name: str) -> str:
        """[B, S, in] -> [B, S, blocks]."""
        shape = self.graph.constant("q41.blocks", np.array([0, 0, -1, BLOCK], np.int64))
        axis = self.graph.constant("q41.axis", np.array([-1], np.int64))
        blocks = self.graph.node("Reshape", [x, shape], f"{name}/blocks")
        return self.graph.node("ReduceSum", [blocks, axis], f"{name}/block_sums", keepdims=0)


def find_q41(weight: Matrix) -> Q41Matrix | None:
    """What Q4_1 kept, or None where the weights are not of that form."""
    # Other weights show in their first row; all blocks take a while.
    if _levels(in_blocks(weight[:1])) is None:
        return None
    return _levels(in_blocks(weight))


def _levels(blocks: Matrix) -> Q41Matrix | None:
    lowest = blocks.min(axis=-1)
    spans = blocks.max(axis=-1) - lowest
    largest = np.abs(blocks).max(axis=-1)
    scales = np.ones_like(spans)
    levels = np.zeros(blocks.shape, np.uint8)
    unknown = np.ones(spans.shape, bool)
    # Nearly all blocks reach from level 0 to 15; a few span fewer levels.
    for span in range(LEVELS, 0, -1):
        rest, least = blocks[unknown], lowest[unknown][:, np.newaxis]
        steps = np.where(spans[unknown] == 0, 1, spans[unknown] / np.float32(span))
        tried = np.rint((rest - least) / steps[:, np.newaxis])
        errors = np.abs(tried * steps[:, np.newaxis] + least - rest).max(axis=-1)
        fits = errors <= EXACT * largest[unknown]
        places = tuple(index[fits] for index in np.nonzero(unknown))
        levels[places], scales[places] = tried[fits].astype(np.uint8), steps[fits]
        unknown[places] = False
        if not unknown.any():
            return Q41Matrix(levels, scales, lowest)
    return None
