"""KV of prompts' beginnings that may come again, kept on the host in blocks of tokens.

A block is known by the tokens in it *and* everything before them: its key is a hash
over the chain (arXiv:2309.06180 and vLLM's automatic prefix caching), begun with what
else the KV depends on (the adapter). Blocks are copied into a row and out of it, so a
row never shares memory with the cache and nothing has to be counted while it runs.
When memory runs out the block that was used longest ago goes first, a chain's end
before its beginning. Only prompts are kept, and only as the prefill graph computed
them: an answer never depends on what the cache happens to hold.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deployments.text.decoder import Decoder, KvTokens

BLOCK = 32  # tokens
# A run of one token takes other kernels than a longer one, with other last bits.
LEFT_TO_COMPUTE = 2

Key = bytes


@dataclass(slots=True)
class PrefixCacheCounts:
    """Since the start, in prompt tokens."""

    queried: int = 0
    hit: int = 0
    evicted: int = 0


class PrefixCache:
    """`max_bytes` 0: keeps nothing. One thread calls it."""

    def __init__(self, decoder: Decoder, max_bytes: int) -> None:
        self._decoder = decoder
        self._max_bytes = max_bytes
        self._blocks: OrderedDict[Key, KvTokens] = OrderedDict()  # used longest ago first
        self._bytes = 0
        self.counts = PrefixCacheCounts()

    @property
    def bytes(self) -> int:
        return self._bytes

    def load(self, row: int, prompt: NDArray[np.int64], seed: Key = b"") -> int:
        """Fills a row with the longest known beginning of `prompt`; how many tokens that is.

        At least `LEFT_TO_COMPUTE` tokens are left: logits come from computing.
        """
        self.counts.queried += len(prompt)
        found: list[Key] = []
        for key in _chain(prompt[: len(prompt) - LEFT_TO_COMPUTE], seed):
            block = self._blocks.get(key)
            if block is None:
                break
            self._decoder.copy_in(row, len(found) * BLOCK, block)
            found.append(key)
        self._touch(found)
        self.counts.hit += len(found) * BLOCK
        return len(found) * BLOCK

    def store(self, row: int, prompt: NDArray[np.int64], seed: Key = b"") -> None:
        """Keeps the whole blocks of a prompt that is computed in `row`."""
        if not self._max_bytes:
            return
        keys = list(_chain(prompt, seed))
        for index, key in enumerate(keys):
            if key not in self._blocks:
                start = index * BLOCK
                self._keep(key, self._decoder.copy_out(row, start, start + BLOCK))
        self._touch(keys)
        self._evict()

    def _keep(self, key: Key, block: KvTokens) -> None:
        self._blocks[key] = block
        self._bytes += block.nbytes

    def _touch(self, chain: list[Key]) -> None:
        """The end first, so that a chain's beginning outlives it."""
        for key in reversed(chain):
            self._blocks.move_to_end(key)

    def _evict(self) -> None:
        while self._bytes > self._max_bytes:
            _, block = self._blocks.popitem(last=False)
            self._bytes -= block.nbytes
            self.counts.evicted += BLOCK


def _chain(tokens: NDArray[np.int64], seed: Key) -> Iterator[Key]:
    """The keys of the whole blocks, each over everything before it."""
    key = seed
    for stop in range(BLOCK, len(tokens) + 1, BLOCK):
        block = tokens[stop - BLOCK : stop].astype("<i8").tobytes()
        key = hashlib.blake2b(key + block, digest_size=16).digest()
        yield key
