"""Blocks of KV in memory that is used again, and given back when it is wanted elsewhere."""

from __future__ import annotations

import weakref

import numpy as np

from deployments.text.decoder import KvTokens
from deployments.text.kv_blocks import KvBlocks


def fill(out: KvTokens | None) -> KvTokens:
    """As `Decoder.copy_out` does."""
    tokens = np.full((2, 1, 4, 3), 7.0, np.float32)
    if out is None:
        return tokens
    out[...] = tokens
    return out


def test_a_block_that_was_given_back_is_the_next_one() -> None:
    blocks = KvBlocks()
    first = blocks.filled(fill)
    place = first.ctypes.data
    first[...] = 0
    blocks.give(first)
    second = blocks.filled(fill)
    assert second.ctypes.data == place
    np.testing.assert_array_equal(second, fill(None))


def test_what_is_free_goes_back_to_the_system_once_no_block_of_it_is_in_use() -> None:
    blocks = KvBlocks()
    block = blocks.filled(fill)
    segment = weakref.ref(block.base)
    blocks.release()
    assert segment() is not None
    blocks.give(block)
    del block
    blocks.release()
    assert segment() is None
