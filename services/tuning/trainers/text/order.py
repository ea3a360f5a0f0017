"""Which examples make which micro batch: a function of the seed and the batch's number.

Each epoch has an order of its own; a micro batch may end one epoch and begin the next, so
that all have the same size. Knows no example.
"""

from __future__ import annotations

import random


class ExampleOrder:
    """`batch(n)` for micro batches of `size` out of `count` examples."""

    def __init__(self, count: int, size: int, seed: int) -> None:
        self._count = count
        self._size = size
        self._seed = seed
        self._last: tuple[int, list[int]] = (-1, [])  # an epoch and its order

    def batch(self, number: int) -> list[int]:
        """Places of the examples."""
        first = number * self._size
        return [self._at(position) for position in range(first, first + self._size)]

    def _at(self, position: int) -> int:
        epoch, place = divmod(position, self._count)
        if self._last[0] != epoch:
            order = list(range(self._count))
            random.Random(f"{self._seed}:{epoch}").shuffle(order)  # noqa: S311 - no secret
            self._last = (epoch, order)
        return self._last[1][place]
