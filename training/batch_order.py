"""Which examples make which batch: about one length each, the same in every run of a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence


class BatchOrder:
    """`at(step)` goes through all examples in an order of its own per epoch.

    A batch holds as many as fit into `tokens`, the padding counted, and no more than `most`;
    at least one.
    """

    def __init__(
        self, lengths: Sequence[int], tokens: int, seed: int, most: int | None = None
    ) -> None:
        self._lengths = lengths
        self._tokens = tokens
        self._seed = seed
        self._most = most or len(lengths)
        self._batches: list[list[int]] = []  # of all epochs so far
        self._epochs = 0

    def at(self, step: int) -> list[int]:
        """Places of the examples."""
        while step >= len(self._batches):
            self._batches += self.epoch(self._epochs)
            self._epochs += 1
        return self._batches[step]

    def epoch(self, epoch: int) -> list[list[int]]:
        draw = random.Random(f"{self._seed}:{epoch}")  # noqa: S311 - an order, no secret
        places = list(range(len(self._lengths)))
        draw.shuffle(places)
        places.sort(key=lambda place: self._lengths[place])  # stable: shuffled within a length
        found: list[list[int]] = [[]]
        for place in places:
            longest = self._lengths[place]  # sorted: no earlier one is longer
            count = len(found[-1]) + 1
            if found[-1] and (longest * count > self._tokens or count > self._most):
                found.append([])
            found[-1].append(place)
        draw.shuffle(found)
        return found
