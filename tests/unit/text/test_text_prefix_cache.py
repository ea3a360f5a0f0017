"""What a prompt begins with is copied if it was computed before, and memory stays bounded."""

from __future__ import annotations

import numpy as np
import pytest
from text_fakes import Driver, FakeDecoder, prepared, solo

from deployments.text.prefix_cache import BLOCK, PrefixCache

BLOCK_BYTES = BLOCK * 8  # the fake's KV is one int64 a token
MANY = 1000 * BLOCK_BYTES


def cache(max_bytes: int = MANY) -> tuple[FakeDecoder, PrefixCache]:
    decoder = FakeDecoder(2, max_length=8 * BLOCK)
    return decoder, PrefixCache(decoder, max_bytes)


def prompt(length: int, first: int = 0) -> np.ndarray:
    return (np.arange(length, dtype=np.int64) + first) % 50


def compute(decoder: FakeDecoder, kept: PrefixCache, tokens: np.ndarray, row: int = 0) -> None:
    decoder.run(row, tokens[None], np.zeros(1, np.int32))
    kept.store(row, tokens)


def test_whole_blocks_of_a_known_beginning_are_copied() -> None:
    decoder, kept = cache()
    compute(decoder, kept, prompt(3 * BLOCK + 5))
    other = np.concatenate([prompt(2 * BLOCK + 7), [1, 2, 3]])
    assert kept.load(1, other) == 2 * BLOCK
    np.testing.assert_array_equal(decoder.copy_out(1, 0, 2 * BLOCK).ravel(), other[: 2 * BLOCK])


def test_the_same_block_behind_another_beginning_is_another_block() -> None:
    decoder, kept = cache()
    compute(decoder, kept, prompt(2 * BLOCK))
    other = np.concatenate([prompt(BLOCK, first=7), prompt(2 * BLOCK)[BLOCK:], [1, 2]])
    assert kept.load(1, other) == 0


def test_something_is_left_to_compute() -> None:
    decoder, kept = cache()
    compute(decoder, kept, prompt(2 * BLOCK))
    assert kept.load(1, prompt(2 * BLOCK)) == BLOCK
    assert kept.load(1, prompt(2 * BLOCK + 1)) == BLOCK
    assert kept.load(1, prompt(2 * BLOCK + 2)) == 2 * BLOCK


def test_another_seed_shares_nothing() -> None:
    decoder, kept = cache()
    compute(decoder, kept, prompt(2 * BLOCK))
    assert kept.load(1, prompt(3 * BLOCK), seed=b"adapter") == 0


def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    decoder, kept = cache(max_bytes=4 * BLOCK_BYTES)
    old, new = prompt(3 * BLOCK), prompt(3 * BLOCK, first=9)
    compute(decoder, kept, old)
    compute(decoder, kept, new)
    assert kept.bytes == 4 * BLOCK_BYTES
    assert kept.load(1, np.append(new, [1, 2])) == 3 * BLOCK
    assert kept.load(1, np.append(old, [1, 2])) == BLOCK  # its end was evicted first


def test_what_is_used_stays() -> None:
    decoder, kept = cache(max_bytes=4 * BLOCK_BYTES)
    used, unused, new = (prompt(2 * BLOCK, first=f) for f in (0, 5, 9))
    compute(decoder, kept, used)
    compute(decoder, kept, unused)
    kept.load(1, np.append(used, [1, 2]))
    compute(decoder, kept, new)
    assert kept.load(1, np.append(used, [1, 2])) == 2 * BLOCK
    assert kept.load(1, np.append(unused, [1, 2])) == 0


def test_no_memory_keeps_nothing() -> None:
    decoder, kept = cache(max_bytes=0)
    compute(decoder, kept, prompt(3 * BLOCK))
    assert kept.bytes == 0
    assert kept.load(1, prompt(3 * BLOCK)) == 0


def test_a_second_request_computes_only_what_is_new_and_says_so() -> None:
    driver = Driver(FakeDecoder(2, 256), prefill_chunk=1000, prefix_cache_bytes=MANY)
    shared = [token % 50 for token in range(3 * BLOCK)]
    first, second = prepared([*shared, 1, 2, 3]), prepared([*shared, 4, 5])
    driver.engine.submit(0, first)
    driver.drain()
    driver.decoder.runs.clear()
    driver.engine.submit(1, second)
    driver.drain()
    assert driver.decoder.runs[0] == (0, 1, 2)
    usage = driver.chunks[1][-1].usage
    assert usage is not None
    assert usage.cached_tokens == 3 * BLOCK
    assert driver.tokens(1) == solo(second, driver)
    counts = driver.engine.counts()
    assert counts.prefix_cache_hits == 3 * BLOCK
    assert counts.prefix_cache_queries == 2 * 3 * BLOCK + 5


class Counting(FakeDecoder):
    """Knows what was copied out of it."""

    def __init__(self, slots: int, max_length: int) -> None:
        super().__init__(slots, max_length)
        self.copied: list[tuple[int, int]] = []

    def copy_out(self, row: int, start: int, stop: int, out=None) -> np.ndarray:
        self.copied.append((start, stop))
        return super().copy_out(row, start, stop, out)


def test_a_prompt_stored_chunk_by_chunk_is_hashed_and_copied_once() -> None:
    decoder = Counting(1, max_length=32 * BLOCK)
    kept, tokens = PrefixCache(decoder, MANY), prompt(30 * BLOCK + 3)
    for start in range(0, len(tokens), 48):
        chunk = tokens[start : start + 48]
        decoder.run(0, chunk[None], np.array([start], np.int32))
        kept.store(0, tokens[: start + len(chunk)])
    assert decoder.copied == [(start, start + BLOCK) for start in range(0, 30 * BLOCK, BLOCK)]
    assert kept.hashed == 30 * BLOCK


class Failing(FakeDecoder):
    """Copies `copies` blocks out, then raises `fault`."""

    copies = 100
    fault: Exception = MemoryError()

    def copy_out(self, row: int, start: int, stop: int, out=None) -> np.ndarray:
        if self.copies == 0:
            raise self.fault
        self.copies -= 1
        return super().copy_out(row, start, stop, out)


def test_without_memory_half_of_what_was_kept_goes_and_nobody_fails() -> None:
    decoder = Failing(2, max_length=8 * BLOCK)
    kept = PrefixCache(decoder, MANY)
    old, new = prompt(4 * BLOCK), prompt(4 * BLOCK, first=9)
    compute(decoder, kept, old)
    decoder.copies = 2
    compute(decoder, kept, new)
    assert kept.bytes == 3 * BLOCK_BYTES
    assert kept.load(1, np.append(old, [1, 2])) == BLOCK
    assert kept.load(1, np.append(new, [1, 2])) == 2 * BLOCK
    decoder.copies = 100
    compute(decoder, kept, new)
    assert kept.load(1, np.append(new, [1, 2])) == 4 * BLOCK


def test_a_copy_that_fails_leaves_whole_blocks_within_the_bound() -> None:
    decoder = Failing(2, max_length=8 * BLOCK)
    decoder.copies, decoder.fault = 2, RuntimeError("the device is lost")
    kept = PrefixCache(decoder, BLOCK_BYTES)
    with pytest.raises(RuntimeError, match="the device is lost"):
        compute(decoder, kept, prompt(3 * BLOCK))
    assert kept.bytes == BLOCK_BYTES
