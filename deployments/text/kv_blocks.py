"""Memory for blocks of KV, all of one size, used again and again.

A block's own allocation would be given back to the system with it, and the pages of the
next one touched anew: 5 times the cost of the copy. Segments are large enough that numpy
asks for huge pages. Knows nothing of what is in a block.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deployments.text.decoder import KvTokens

SEGMENT_BYTES = 64 * 2**20


class KvBlocks:
    """Ask for blocks and `give` them back."""

    def __init__(self) -> None:
        self._free: list[KvTokens] = []

    def filled(self, fill: Callable[[KvTokens | None], KvTokens]) -> KvTokens:
        """A block that `fill` filled, or made where it is given none. Raises what `fill` raises."""
        if not self._free:
            first = fill(None)
            self._grow(first)
            block = self._free.pop()
            block[...] = first
            return block
        fill(self._free[-1])
        return self._free.pop()

    def give(self, block: KvTokens) -> None:
        self._free.append(block)

    def release(self) -> None:
        """Lets go of what is free: a segment goes back to the system once none of it is in use."""
        self._free.clear()

    def _grow(self, like: KvTokens) -> None:
        count = max(1, SEGMENT_BYTES // like.nbytes)
        segment = np.empty((count, *like.shape), like.dtype)
        self._free.extend(segment[::-1])
