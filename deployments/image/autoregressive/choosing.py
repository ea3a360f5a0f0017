"""Logits -> the next code of one row, and how likely given ones are. Knows numbers only.

A draw depends on seed, place and logits alone, not on the rows beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deployments.image.drawing import uniform_at
from deployments.image.pixels import Floats

Doubles = NDArray[np.float64]
# Below it exp(x / temperature) leaves the range of numbers, and one code has all the mass.
COLDEST = 1e-4


@dataclass(frozen=True, slots=True)
class Choice:
    seed: int
    temperature: float = 1.0
    top_k: int = 0  # 0: all


def choose(logits: Floats, choice: Choice, place: int) -> int:
    """By the inverse of the cumulated probabilities; temperature first, then top-k."""
    if choice.temperature < COLDEST:
        return int(logits.argmax())
    weights = np.exp((logits - logits.max()).astype(np.float64) / choice.temperature)
    if 0 < choice.top_k < len(weights):
        # Stable: of equal ones the lower codes stay.
        weights[np.argsort(-weights, kind="stable")[choice.top_k :]] = 0
    cumulated = np.cumsum(weights)
    point = uniform_at(choice.seed, place) * cumulated[-1]
    return int(np.searchsorted(cumulated, point, side="right"))


def log_likelihoods(logits: Floats, codes: NDArray[np.int64]) -> Doubles:
    """Natural, of each of `codes` [S] under `logits` [S, K]."""
    exact = logits.astype(np.float64)
    exact -= exact.max(1, keepdims=True)
    whole = np.log(np.exp(exact).sum(1))
    found: Doubles = exact[np.arange(len(codes)), codes] - whole
    return found
