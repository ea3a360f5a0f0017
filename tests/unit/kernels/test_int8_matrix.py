"""Block quantisation: its error is what rounding allows, and zero stays zero."""

from __future__ import annotations

import numpy as np

from deployments.kernels.precisions.block_matrices import BLOCK, quantise_int8


def test_the_error_is_at_most_half_a_step() -> None:
    weight = np.random.default_rng(0).normal(size=(7, 3 * BLOCK)).astype(np.float32)
    data, scales = quantise_int8(weight)
    restored = (data.astype(np.float32) - 128) * scales[..., np.newaxis]
    error = np.abs(restored.reshape(weight.shape) - weight)
    assert (error <= np.repeat(scales, BLOCK, axis=1) * 0.5001).all()


def test_a_block_of_zeros_stays_zero() -> None:
    data, scales = quantise_int8(np.zeros((2, BLOCK), np.float32))
    assert (data == 128).all()
    assert np.isfinite(scales).all()
