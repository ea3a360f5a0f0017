"""The random numbers of one candidate, one per generated token.

Philox is a counter-based generator (Salmon et al., 2011, doi:10.1145/2063384.2063405):
key and counter give the number. So a draw depends on the seed, the candidate and
the token's position alone: not on batch-mates, and not on which replica computes it.
"""

from __future__ import annotations

import secrets

from numpy.random import Philox

_WORD = 2**64
_MANTISSA = 2**53
_PER_COUNT = 4  # numbers that numpy's Philox 4x64 gives before its counter moves on


class Draws:
    """Uniform numbers for the positions from `position` on, in order."""

    def __init__(self, seed: int, candidate: int, position: int = 0) -> None:
        """Seeds are taken modulo 2**64; `position` counts generated tokens from 0."""
        count, within = divmod(position, _PER_COUNT)
        self._philox = Philox(key=(seed % _WORD) | (candidate << 64), counter=count)
        if within:
            self._philox.random_raw(within)

    def next(self) -> float:
        """In [0, 1)."""
        bits = int(self._philox.random_raw())
        return (bits >> 11) / _MANTISSA


def random_seed() -> int:
    """For a request that names none."""
    return secrets.randbits(63)
