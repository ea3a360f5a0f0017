"""Blocks are named as the plain chain of hashes names them, and each is hashed once as it grows."""

from __future__ import annotations

import hashlib
from itertools import islice

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from deployments.text.prefix_keys import BLOCK, KEY_BYTES, PrefixKeys


def plain(tokens: np.ndarray, seed: bytes) -> list[bytes]:
    """Every key from the start, block by block."""
    keys, before = [], seed
    for start in range(0, len(tokens) - BLOCK + 1, BLOCK):
        block = tokens[start : start + BLOCK].astype("<i8").tobytes()
        before = hashlib.blake2b(before + block, digest_size=KEY_BYTES).digest()
        keys.append(before)
    return keys


def prompt(length: int, first: int = 0) -> np.ndarray:
    return np.arange(first, first + length, dtype=np.int64)


# Lengths, which of three texts, where it turns into another, the seed, how many keys are read.
asked = st.tuples(
    st.integers(0, 5 * BLOCK),
    st.integers(0, 2),
    st.integers(0, 5 * BLOCK),
    st.sampled_from([b"", b"adapter"]),
    st.integers(0, 5),
)


@settings(deadline=None)
@given(st.lists(asked, max_size=8))
def test_whatever_was_asked_before_the_keys_are_the_plain_ones(
    calls: list[tuple[int, int, int, bytes, int]],
) -> None:
    keys = PrefixKeys()
    for length, text, turn, seed, read in calls:
        tokens = prompt(length)
        tokens[turn:] += 1000 * text
        assert list(islice(keys.of(tokens, seed), read)) == plain(tokens, seed)[:read]
        tokens += 1  # the caller's own: what is known must not follow it


def test_a_prompt_that_grows_is_hashed_once() -> None:
    keys, tokens = PrefixKeys(), prompt(64 * BLOCK + 5)
    for stop in range(BLOCK // 2, len(tokens) + 1, BLOCK // 2):
        list(keys.of(tokens[:stop]))
    assert keys.hashed == 64 * BLOCK


def test_what_two_prompts_begin_with_is_hashed_once() -> None:
    keys = PrefixKeys()
    list(keys.of(prompt(10 * BLOCK)))
    other = prompt(10 * BLOCK)
    other[4 * BLOCK + 3 :] = 7
    assert list(keys.of(other)) == plain(other, b"")
    assert keys.hashed == (10 + 6) * BLOCK


def test_keys_are_hashed_as_they_are_asked_for() -> None:
    keys = PrefixKeys()
    next(keys.of(prompt(10 * BLOCK)))
    assert keys.hashed == BLOCK
