"""Rows that gave way to more urgent requests: their KV waits on the host, in bounded memory.

Where the memory is full, or the host has none, a row's KV is dropped, and computed again
from its tokens when the row comes back. Either way the sequence goes on; it does not fail.
"""

from __future__ import annotations

from dataclasses import dataclass

from deployments.text.decoder import Decoder, KvTokens
from deployments.text.rows import Occupant


@dataclass(frozen=True, slots=True, eq=False)
class Suspended:
    """A sequence without a row. `kv` None: its tokens have to be computed again."""

    occupant: Occupant
    kv: KvTokens | None


class SwapSpace:
    """`max_bytes` bounds what is kept."""

    def __init__(self, decoder: Decoder, max_bytes: int) -> None:
        self._decoder = decoder
        self._max_bytes = max_bytes
        self._bytes = 0

    @property
    def bytes(self) -> int:
        return self._bytes

    def take_out(self, row: int, occupant: Occupant) -> Suspended:
        try:
            kv = self._decoder.copy_out(row, 0, occupant.sequence.past)
        except MemoryError:
            return Suspended(occupant, None)
        if self._bytes + kv.nbytes > self._max_bytes:
            return Suspended(occupant, None)
        self._bytes += kv.nbytes
        return Suspended(occupant, kv)

    def put_back(self, row: int, suspended: Suspended) -> None:
        """Into any row; only for one whose KV was kept."""
        assert suspended.kv is not None
        self.forget(suspended)
        self._decoder.copy_in(row, 0, suspended.kv)

    def forget(self, suspended: Suspended) -> None:
        if suspended.kv is not None:
            self._bytes -= suspended.kv.nbytes
