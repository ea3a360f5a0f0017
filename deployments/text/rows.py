"""Which row of the KV pool is whose.

Decoding sequences are in rows 0..n-1 without holes, so that one run covers them
all. A prompt is prefilled in a row above them and stays there while they come and
go; its row is moved down, if there is a gap, when it joins them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deployments.text.decoder import Decoder
from deployments.text.generation import Generation
from deployments.text.sequence import Sequence
from deployments.text.speculation import RowSpeculation


@dataclass(frozen=True, slots=True, eq=False)
class Occupant:
    """A decoding candidate, the request it is part of, and all its tokens."""

    generation: Generation
    sequence: Sequence
    speculation: RowSpeculation

    @property
    def tokens(self) -> list[int]:
        """Prompt and answer so far; the last one is not in the KV row yet."""
        return self.speculation.tokens


class Rows:
    """The decoding rows, in order."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._occupants: list[Occupant] = []

    def __len__(self) -> int:
        return len(self._occupants)

    def __iter__(self) -> Iterator[Occupant]:
        return iter(self._occupants)

    def __getitem__(self, row: int) -> Occupant:
        return self._occupants[row]

    @property
    def next(self) -> int:
        """The first row that no decoding sequence has; `slots` where there is none."""
        return len(self._occupants)

    def join(self, occupant: Occupant, row: int) -> None:
        """The sequence, whose KV is in `row`, decodes from now on."""
        if row != self.next:
            self._decoder.move_row(row, self.next, occupant.sequence.past)
        self._occupants.append(occupant)

    def leave(self, ended: list[Occupant]) -> None:
        """Frees their rows; the last rows move into the holes."""
        gone = {id(one.sequence) for one in ended}
        for row in range(len(self._occupants) - 1, -1, -1):
            if id(self._occupants[row].sequence) not in gone:
                continue
            last = self._occupants.pop()
            if row < len(self._occupants):
                self._decoder.move_row(len(self._occupants), row, last.sequence.past)
                self._occupants[row] = last
