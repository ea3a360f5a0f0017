"""KV of prompts' beginnings that may come again, kept on the host in blocks of tokens.

A block is known by the tokens in it *and* everything before them (`prefix_keys.py`).
Blocks are copied into a row and out of it, so a row never shares memory with the cache
and nothing has to be counted while it runs.
When memory runs out the block that was used longest ago goes first, a chain's end
before its beginning. Only prompts are kept, and only as the prefill graph computed
them: an answer never depends on what the cache happens to hold.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deployments.text.decoder import Decoder, KvTokens
from deployments.text.kv_blocks import KvBlocks
from deployments.text.prefix_keys import BLOCK, Key, PrefixKeys

# A run of one token takes other kernels than a longer one, with other last bits.
LEFT_TO_COMPUTE = 2


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
        self._keys = PrefixKeys()
        self._memory = KvBlocks()
        self._blocks: OrderedDict[Key, KvTokens] = OrderedDict()  # used longest ago first
        self._bytes = 0
        self.counts = PrefixCacheCounts()

    @property
    def bytes(self) -> int:
        return self._bytes

    @property
    def hashed(self) -> int:
        """Tokens, since the start: what finding blocks has cost."""
        return self._keys.hashed

    def load(self, row: int, prompt: NDArray[np.int64], seed: Key = b"") -> int:
        """Fills a row with the longest known beginning of `prompt`; how many tokens that is.

        At least `LEFT_TO_COMPUTE` tokens are left: logits come from computing.
        """
        self.counts.queried += len(prompt)
        found: list[Key] = []
        for key in self._keys.of(prompt[: len(prompt) - LEFT_TO_COMPUTE], seed):
            block = self._blocks.get(key)
            if block is None:
                break
            self._decoder.copy_in(row, len(found) * BLOCK, block)
            found.append(key)
        self._touch(found)
        self.counts.hit += len(found) * BLOCK
        return len(found) * BLOCK

    def store(self, row: int, prompt: NDArray[np.int64], seed: Key = b"") -> None:
        """Keeps the whole blocks of a prompt that is computed in `row`.

        Called again as the prompt grows, it hashes and copies only what is new. Where the
        host has no memory for that, half of what is kept makes room for those who run.
        """
        if not self._max_bytes:
            return
        kept: list[Key] = []
        try:
            for index, key in enumerate(self._keys.of(prompt, seed)):
                if key not in self._blocks:
                    start = index * BLOCK
                    copy = functools.partial(self._decoder.copy_out, row, start, start + BLOCK)
                    self._keep(key, self._memory.filled(copy))
                kept.append(key)
        except MemoryError:
            self._evict(self._bytes // 2)
            self._memory.release()
        else:
            self._touch(kept)
        finally:  # the bound holds where a copy fails, too
            self._evict(self._max_bytes)

    def _keep(self, key: Key, block: KvTokens) -> None:
        self._blocks[key] = block
        self._bytes += block.nbytes

    def _touch(self, chain: list[Key]) -> None:
        """The end first, so that a chain's beginning outlives it."""
        for key in reversed(chain):
            self._blocks.move_to_end(key)

    def _evict(self, max_bytes: int) -> None:
        while self._bytes > max_bytes:
            _, block = self._blocks.popitem(last=False)
            self._bytes -= block.nbytes
            self._memory.give(block)
            self.counts.evicted += BLOCK
