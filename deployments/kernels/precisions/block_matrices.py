"""Matrices in blocks of 32 weights along a row, each with a scale of its own. Only numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deployments.kernels.precisions.precision import Matrix

BLOCK = 32
INT8_ZERO = 128  # what MatMulNBits and GatherBlockQuantized take for 8 bits by default
INT4_LEVELS = 15  # from the lowest to the highest
INT4_SCALES = (1.06, 0.94, 0.88)  # tried beside the scale that covers the whole block, times it


class Int8Matrix(NamedTuple):
    """weight = (data - 128) * scales, block by block."""

    data: NDArray[np.uint8]  # [out, blocks, 32]
    scales: NDArray[np.float32]  # [out, blocks]


class Int4Matrix(NamedTuple):
    """weight = (data - zeros) * scales, block by block."""

    data: NDArray[np.uint8]  # [out, blocks, 16]: two weights a byte, the first in the low half
    scales: NDArray[np.float32]  # [out, blocks]
    zeros: NDArray[np.uint8]  # [out, ceil(blocks / 2)]: two blocks a byte, likewise


def quantise_int8(weight: Matrix) -> Int8Matrix:
    """`in` must be a multiple of 32."""
    blocks = in_blocks(weight)
    scales: NDArray[np.float32] = np.abs(blocks).max(axis=-1) / np.float32(127)
    scales[scales == 0] = 1
    data = np.rint(blocks / scales[..., np.newaxis]) + INT8_ZERO
    return Int8Matrix(data.astype(np.uint8), scales)


def quantise_int4(weight: Matrix) -> Int4Matrix:
    """`in` must be a multiple of 32. Of several scales each block takes the one that errs least."""
    blocks = in_blocks(weight)
    lowest = np.minimum(blocks.min(axis=-1), 0)  # so that zero is among the 16 levels
    highest = np.maximum(blocks.max(axis=-1), 0)
    covering = (highest - lowest) / np.float32(INT4_LEVELS)
    covering[covering == 0] = 1
    zeros: Matrix = np.rint(-lowest / covering)
    scales = covering
    least = _squared_errors(blocks, scales, zeros)
    for factor in INT4_SCALES:
        tried = covering * np.float32(factor)
        errors = _squared_errors(blocks, tried, zeros)
        better = errors < least
        scales, least = np.where(better, tried, scales), np.where(better, errors, least)
    levels = pack_int4(_levels(blocks, scales, zeros).astype(np.uint8))
    return Int4Matrix(levels, scales, pack_int4(zeros.astype(np.uint8)))


def _levels(blocks: Matrix, scales: Matrix, zeros: Matrix) -> Matrix:
    steps = np.rint(blocks / scales[..., np.newaxis]) + zeros[..., np.newaxis]
    levels: Matrix = np.clip(steps, 0, INT4_LEVELS)
    return levels


def _squared_errors(blocks: Matrix, scales: Matrix, zeros: Matrix) -> Matrix:
    """Of each block."""
    steps = _levels(blocks, scales, zeros) - zeros[..., np.newaxis]
    errors: Matrix = np.square(blocks - steps * scales[..., np.newaxis]).sum(axis=-1)
    return errors


def in_blocks(weight: Matrix) -> Matrix:
    """[out, in] -> [out, blocks, 32]."""
    return weight.reshape(weight.shape[0], -1, BLOCK)


def pack_int4(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Levels 0..15 [..., n] -> [..., ceil(n / 2)], the first of two in the low half."""
    if levels.shape[-1] % 2:
        levels = np.concatenate([levels, np.zeros_like(levels[..., :1])], axis=-1)
    return (levels[..., 0::2] | (levels[..., 1::2] << 4)).astype(np.uint8)
