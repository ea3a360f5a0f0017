"""The next token of one row, greedy or drawn. Knows numbers only.

The random numbers are Philox's (doi:10.1145/2063384.2063405), whose counter is the token's
place: a draw depends on seed, input and place alone, not on batch-mates or the replica.
"""

from __future__ import annotations

import secrets

import numpy as np
from numpy.random import Philox
from numpy.typing import NDArray

# Below it exp(x / temperature) leaves float32's range and one token has all the mass.
GREEDY_BELOW = 1e-4
_WORD, _MANTISSA = 2**64, 2**53
_PER_COUNT = 4  # numbers that numpy's Philox 4x64 gives before its counter moves on


def random_seed() -> int:
    """For a request that names none."""
    return secrets.randbits(63)


def uniform(seed: int, index: int, place: int) -> float:
    """In [0, 1), for the token at `place` of input `index`."""
    count, within = divmod(place, _PER_COUNT)
    philox = Philox(key=(seed % _WORD) | (index << 64), counter=count)
    bits = int(philox.random_raw(within + 1)[-1])
    return (bits >> 11) / _MANTISSA


def draw(
    scores: NDArray[np.float32], temperature: float, top_k: int, top_p: float, point: float
) -> int:
    """By the inverse of the cumulated probabilities at `point`, the likeliest token first.

    Temperature, then top-k, then top-p (arXiv:1904.09751), as transformers orders them.
    """
    weights = np.exp((scores - scores.max()).astype(np.float64) / temperature)
    order = _likeliest(weights, top_k)
    kept = weights[order]
    cumulated = np.cumsum(kept)
    if top_p < 1:
        wanted = int(np.searchsorted(cumulated, top_p * cumulated[-1])) + 1
        order, cumulated = order[:wanted], cumulated[:wanted]
    place = int(np.searchsorted(cumulated, point * cumulated[-1], side="right"))
    return int(order[min(place, len(order) - 1)])


def _likeliest(weights: NDArray[np.float64], top_k: int) -> NDArray[np.int64]:
    """Ids by falling weight, equal weights by rising id; `top_k` of them, or all."""
    if 0 < top_k < len(weights):
        bound = np.partition(weights, -top_k)[-top_k]
        ids = np.flatnonzero(weights >= bound)
        return ids[np.argsort(-weights[ids], kind="stable")][:top_k]
    ids = np.flatnonzero(weights > 0)
    return ids[np.argsort(-weights[ids], kind="stable")]
