"""Keys and values of the rows that are being written: one array a layer, for all rows together.

Laid as the graph takes them, so that a step copies nothing but what is new. Rows are laid anew
when some come or go, and when the furthest needs more room; what a row holds never changes by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deployments.image.pixels import Floats
from deployments.kernels import image_names as names

SMALLEST_ROOM = 16  # places


@dataclass(frozen=True, slots=True)
class CacheShape:
    layers: int
    heads: int
    head_width: int
    positions: int

    @property
    def row_bytes(self) -> int:
        """Of one whole row."""
        return 2 * 4 * self.layers * self.heads * self.head_width * self.positions

    def room_for(self, places: int) -> int:
        """Grows in eighths, so that rows are laid anew seldom and little of it is empty."""
        grain = max(SMALLEST_ROOM, self.positions // 8)
        return min(self.positions, -(-places // grain) * grain)


class RowCache:
    """`rows` rows; row i is the engine's row i."""

    def __init__(self, shape: CacheShape) -> None:
        self._shape = shape
        self._room = 0
        self._rows = 0
        self._keys: list[Floats] = []  # of each layer [rows, heads, width, room]
        self._values: list[Floats] = []  # [rows, heads, room, width]
        self._lay([], 0, 0)

    def keep(self, kept: Sequence[int], more: int) -> None:
        """The rows of these numbers, in this order, and `more` empty ones after them."""
        if more or list(kept) != list(range(self._rows)):
            self._lay(kept, len(kept) + more, self._room)

    def reserve(self, places: int) -> None:
        """Room for so many places in each row."""
        room = self._shape.room_for(places)
        if room > self._room:
            self._lay(range(self._rows), self._rows, room)

    def fill(self, row: int, length: int, read: Sequence[Floats]) -> None:
        """The first `length` places of an empty row: `read` has, layer by layer, its keys
        [heads, width, S] and its values [heads, S, width]."""
        for layer in range(self._shape.layers):
            self._keys[layer][row, :, :, :length] = read[2 * layer][:, :, :length]
            self._values[layer][row, :, :length] = read[2 * layer + 1][:, :length]

    def given(self) -> Mapping[str, Floats]:
        """As the writer takes it."""
        found: dict[str, Floats] = {}
        for layer in range(self._shape.layers):
            found[names.of_layer(names.KEYS, layer)] = self._keys[layer]
            found[names.of_layer(names.VALUES, layer)] = self._values[layer]
        return found

    def add(self, places: NDArray[np.int64], new: Sequence[Floats]) -> None:
        """What the writer made for the place of each row."""
        rows = np.arange(self._rows)
        for layer in range(self._shape.layers):
            self._keys[layer][rows, :, :, places] = new[2 * layer][..., 0]
            self._values[layer][rows, :, places] = new[2 * layer + 1][:, :, 0]

    def _lay(self, kept: Sequence[int], rows: int, room: int) -> None:
        shape, old, count = self._shape, self._room, len(kept)
        keys, values = self._keys, self._values
        self._rows, self._room = rows, room
        self._keys = [
            np.zeros((rows, shape.heads, shape.head_width, room), np.float32)
            for _ in range(shape.layers)
        ]
        self._values = [
            np.zeros((rows, shape.heads, room, shape.head_width), np.float32)
            for _ in range(shape.layers)
        ]
        if count and old:
            for layer in range(shape.layers):
                self._keys[layer][:count, :, :, :old] = keys[layer][list(kept)]
                self._values[layer][:count, :, :old] = values[layer][list(kept)]
