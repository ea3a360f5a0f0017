"""Moves size from a matrix's rounding to where it does no harm: (W s)(x / s) = W x.

A column whose input is large gets finer steps, at the price of the others'. AWQ,
arXiv:2306.00978; SmoothQuant, arXiv:2211.10438.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deployments.kernels.precisions.precision import Matrix, Vector

EXPONENTS = (0.15, 0.3, 0.45, 0.6)  # s is the inputs' size to one of these powers
SMALLEST = 1e-4  # of the largest input: smaller ones count as this


def smoothing(weight: Matrix, sizes: Vector, rounded: Callable[[Matrix], Matrix]) -> Vector | None:
    """s [in], at least 1, that leaves the least error; None where nothing beats no smoothing.

    `sizes` [in] is the root mean square of each input; `rounded` what quantisation makes of
    a matrix. The error is that of W x, inputs taken as independent.
    """
    sizes = np.maximum(sizes, SMALLEST * sizes.max()).astype(np.float32)
    best, least = None, _error(weight, rounded(weight), sizes)
    for exponent in EXPONENTS:
        scales = sizes ** np.float32(exponent)
        scales /= scales.min()
        error = _error(weight, rounded(weight * scales) / scales, sizes)
        if error < least:
            best, least = scales, error
    return best


def _error(weight: Matrix, rounded: Matrix, sizes: Vector) -> float:
    wrong = (rounded - weight) * sizes
    return float(np.vdot(wrong, wrong))
