"""int4, Q4_1 and row matrices: what they give back, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from deployments.kernels.precisions.block_matrices import BLOCK, in_blocks, quantise_int4
from deployments.kernels.precisions.q41 import find_q41
from deployments.kernels.precisions.rows import quantise_rows

Matrix = NDArray[np.float32]


def _normal(rows: int, blocks: int, mean: float = 0.0) -> Matrix:
    values = np.random.default_rng(0).normal(mean, 1, (rows, blocks * BLOCK))
    return values.astype(np.float32)


def _halves(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The low half of each byte, then the high one."""
    return np.stack([packed & 15, packed >> 4], axis=-1).reshape(*packed.shape[:-1], -1)


def _restored_int4(weight: Matrix) -> Matrix:
    data, scales, zeros = quantise_int4(weight)
    blocks = scales.shape[1]
    steps = _halves(data).astype(np.float32) - _halves(zeros)[:, :blocks, np.newaxis]
    return (steps * scales[..., np.newaxis]).reshape(weight.shape)


@pytest.mark.parametrize("blocks", [2, 3])  # zeros are packed in pairs: an odd one has room
def test_int4_errs_less_than_covering_each_block_would(blocks: int) -> None:
    weight = _normal(40, blocks)
    spans = in_blocks(weight).max(axis=-1) - in_blocks(weight).min(axis=-1)
    rounding = np.square(spans / 15).mean() / 12  # of an even grid over each block
    assert np.square(_restored_int4(weight) - weight).mean() < 1.1 * rounding


def test_int4_keeps_blocks_that_lie_on_one_side_of_zero() -> None:
    weight = _normal(5, 2, mean=8.0)
    error = np.abs(_restored_int4(weight) - weight)
    assert (error <= weight.max() / 15).all()


def test_int4_keeps_zeros() -> None:
    assert (_restored_int4(np.zeros((3, BLOCK), np.float32)) == 0).all()


def _q41(rows: int, blocks: int, spans: tuple[int, ...] = (15,)) -> Matrix:
    """Weights as a Q4_1 file gives them: half-precision scales and offsets, levels 0..15."""
    random = np.random.default_rng(3)
    scales = random.uniform(0.01, 0.1, (rows, blocks, 1)).astype(np.float16).astype(np.float32)
    lowest = random.uniform(-1, 0, (rows, blocks, 1)).astype(np.float16).astype(np.float32)
    levels = random.integers(0, np.resize(spans, (rows, blocks, 1)) + 1, (rows, blocks, BLOCK))
    levels[..., 0], levels[..., 1] = 0, np.resize(spans, (rows, blocks))
    return (levels.astype(np.float32) * scales + lowest).reshape(rows, -1)


@pytest.mark.parametrize("spans", [(15,), (15, 14, 9, 1)])
def test_weights_of_a_q41_file_are_found_again(spans: tuple[int, ...]) -> None:
    weight = _q41(24, 6, spans)
    found = find_q41(weight)
    assert found is not None
    restored = found.levels * found.scales[..., np.newaxis] + found.lowest[..., np.newaxis]
    np.testing.assert_allclose(restored.reshape(weight.shape), weight, rtol=0, atol=2e-6)
    assert found.levels.max() <= 15


def test_equal_weights_are_a_q41_block_too() -> None:
    weight = np.full((2, BLOCK), 0.25, np.float32)
    found = find_q41(weight)
    assert found is not None
    np.testing.assert_array_equal(found.lowest, 0.25)


def test_weights_that_were_never_q41_are_not() -> None:
    assert find_q41(_normal(4, 2)) is None


def test_one_foreign_row_is_noticed() -> None:
    weight = _q41(6, 2)
    weight[4] += np.linspace(0, 0.003, weight.shape[1], dtype=np.float32)
    assert find_q41(weight) is None


def test_a_row_is_rounded_to_half_a_step_of_its_largest_weight() -> None:
    weight = _normal(9, 2)
    weight[3] = 0
    data, scales = quantise_rows(weight)
    error = np.abs(data.T * scales[:, np.newaxis] - weight)
    assert (error <= scales[:, np.newaxis] * 0.5001).all()
    assert data.shape == (2 * BLOCK, 9)
    assert (data[:, 3] == 0).all()
