"""A histogram whose bins double: 1 to 16, 17 to 32, 33 to 64 and so on."""

from __future__ import annotations

from collections import Counter

from bestiary.schemas.tuning import LengthBin

SMALLEST = 16


class Histogram:
    """Counts lengths as they come; keeps none."""

    def __init__(self) -> None:
        self._bins: Counter[int] = Counter()
        self.longest = 0
        self.total = 0

    def add(self, length: int) -> None:
        self._bins[max(SMALLEST, 1 << (length - 1).bit_length() if length > 0 else 1)] += 1
        self.longest = max(self.longest, length)
        self.total += length

    @property
    def bins(self) -> tuple[LengthBin, ...]:
        """From the shortest to the longest, empty ones between them included."""
        found, up_to = [], SMALLEST
        while self._bins and up_to <= max(self._bins):
            found.append(LengthBin(up_to=up_to, examples=self._bins[up_to]))
            up_to *= 2
        return tuple(found)
