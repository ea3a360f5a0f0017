"""Which row of a batch is worked on with which adapter: a table, an adapter a line.

    lines    the slots from the lowest that a row has to the highest, whatever is in between
    columns  as many as the adapter of most rows has rows

Rows are sorted by adapter rather than adapters by row: a row's input is a thousandth of its
adapter. Memory is read where it lies, from the first line on, and what no row wants of it is
read in vain; so slots that are used together had better lie together. Numbers only, no graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class AdapterTable:
    """`members` is the row that a place reads, `filled` whether what it makes of it counts."""

    first_slot: int
    members: NDArray[np.int64]  # [lines, columns]
    filled: NDArray[np.bool_]  # [lines, columns]
    places: NDArray[np.int64]  # [B, 2], each row's line and column

    @property
    def is_plain(self) -> bool:
        """Whether no row has an adapter."""
        return self.first_slot == 0


def adapter_table(slots: NDArray[np.int64]) -> AdapterTable:
    """`slots` [B]: each row's, 0 where it has no adapter.

    Rows without one share a place that is not filled; without any adapter it is the only one.
    """
    plain = np.flatnonzero(slots == 0)
    first = int(slots[slots > 0].min(initial=slots.max(initial=0)))
    lines = slots - first
    counts = np.bincount(lines[slots > 0], minlength=1)
    shortest = int(counts.argmin())
    columns = max(1, int(counts.max()))
    if len(plain) and counts[shortest] == columns:
        columns += 1
    members = np.full((len(counts), columns), plain[0] if len(plain) else 0, np.int64)
    filled = np.zeros(members.shape, np.bool_)
    places = np.full((len(slots), 2), (shortest, columns - 1), np.int64)
    taken = np.zeros(len(counts), np.int64)
    for row in np.flatnonzero(slots):
        place = lines[row], taken[lines[row]]
        taken[lines[row]] += 1
        members[place], filled[place], places[row] = row, True, place
    return AdapterTable(first, members, filled, places)
