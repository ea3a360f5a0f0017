"""Names for blocks of tokens: each is a hash over the block *and* everything before it.

The chain of hashes (arXiv:2309.06180 and vLLM's automatic prefix caching) begins with
a seed: what else the KV depends on, such as the adapter. A prompt is asked about again
with each of its chunks, so the last prompt's names are kept, and what the next one has
in common with it is not hashed again. Knows no KV.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK = 32  # tokens
KEY_BYTES = 16

Key = bytes


class PrefixKeys:
    """One thread calls it."""

    def __init__(self) -> None:
        self._seed: Key = b""
        self._tokens = np.empty(0, np.int64)  # of which the first blocks have their keys
        self._keys: list[Key] = []
        self.hashed = 0  # tokens, since the start

    def of(self, tokens: NDArray[np.int64], seed: Key = b"") -> Iterator[Key]:
        """The keys of the whole blocks, hashed as they are asked for.

        Ask for the next iterator when done with this one.
        """
        whole = len(tokens) // BLOCK
        known = self._known(tokens, seed)
        # Of the prompt before only what was hashed stays; its caller may change it.
        del self._keys[known:]
        self._seed, self._tokens = seed, tokens[: whole * BLOCK].copy()
        for index in range(whole):
            if index == len(self._keys):
                self._keys.append(self._next(index))
            yield self._keys[index]

    def _known(self, tokens: NDArray[np.int64], seed: Key) -> int:
        """How many blocks begin these tokens and have their keys."""
        if seed != self._seed:
            return 0
        length = min(len(tokens), len(self._keys) * BLOCK)
        differs = np.flatnonzero(tokens[:length] != self._tokens[:length])
        return int(differs[0] if len(differs) else length) // BLOCK

    def _next(self, index: int) -> Key:
        before = self._keys[-1] if self._keys else self._seed
        block = self._tokens[index * BLOCK : (index + 1) * BLOCK].astype("<i8").tobytes()
        self.hashed += BLOCK
        return hashlib.blake2b(before + block, digest_size=KEY_BYTES).digest()
