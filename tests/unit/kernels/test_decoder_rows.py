"""A row's answer is its own: whatever the batch, the chunks and the moves. To the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.kernels.conftest import OpenSmall, SmallModel
from tests.unit.kernels.rows import decode, feed, tokens

LENGTHS = (5, 40, 23, 1, 61, 12)
MODELS = ("llama", "qwen3", "mistral", "gemma3", "gpt2")


@pytest.fixture(params=["fp32", "int8"])
def precision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> SmallModel:
    found: SmallModel = request.getfixturevalue(request.param)
    return found


def test_a_batch_equals_its_rows_alone(
    model: SmallModel, open_small: OpenSmall, precision: str
) -> None:
    decoder = open_small(model, precision)
    for row, length in enumerate(LENGTHS):
        feed(decoder, row, tokens(length, seed=row))
    following = tokens(len(LENGTHS), seed=99)
    alone = [
        feed(decoder, row, following[row : row + 1], past=length)
        for row, length in enumerate(LENGTHS)
    ]
    for rows in range(2, len(LENGTHS) + 1):
        together = decode(decoder, following[:rows], list(LENGTHS[:rows]))
        np.testing.assert_array_equal(together, alone[:rows])


@pytest.mark.parametrize("chunk", [2, 5, 16])
def test_chunks_of_two_or_more_tokens_change_nothing(
    model: SmallModel, open_small: OpenSmall, precision: str, chunk: int
) -> None:
    decoder, ids = open_small(model, precision), tokens(40)
    whole, chunked = feed(decoder, 0, ids), feed(decoder, 1, ids, chunk=chunk)
    np.testing.assert_array_equal(chunked, whole)


def test_a_moved_row_goes_on_as_before(
    llama: SmallModel, open_small: OpenSmall, precision: str
) -> None:
    decoder, ids = open_small(llama, precision), tokens(30)
    feed(decoder, 4, ids)
    expected = feed(decoder, 4, [7], past=30)
    decoder.move_row(4, 0, 30)
    np.testing.assert_array_equal(feed(decoder, 0, [7], past=30), expected)


def test_a_row_copied_out_goes_on_in_another(
    llama: SmallModel, open_small: OpenSmall, precision: str
) -> None:
    decoder, ids = open_small(llama, precision), tokens(30)
    expected = feed(decoder, 1, ids, chunk=20)
    prefix = decoder.copy_out(1, 0, 20)
    decoder.copy_in(5, 0, prefix)
    np.testing.assert_array_equal(feed(decoder, 5, ids[20:], past=20), expected)


def test_what_a_row_held_before_does_not_matter(
    llama: SmallModel, open_small: OpenSmall, precision: str
) -> None:
    decoder, ids = open_small(llama, precision), tokens(10)
    clean = feed(decoder, 0, ids)
    feed(decoder, 0, tokens(100, seed=5))
    np.testing.assert_array_equal(feed(decoder, 0, ids), clean)


def test_forgotten_bindings_are_made_again(llama: SmallModel, open_small: OpenSmall) -> None:
    decoder = open_small(llama, "fp32")
    first = feed(decoder, 0, tokens(3))
    for row in range(decoder.slots):
        for count in range(1, 40):  # more shapes than bindings are kept
            feed(decoder, row, tokens(count))
    np.testing.assert_array_equal(feed(decoder, 0, tokens(3)), first)


@pytest.mark.parametrize(
    ("first_row", "ids", "past"),
    [
        (0, [[1, 2], [3, 4]], [0, 0]),  # many tokens for several rows
        (5, [[1], [2]], [0, 0]),  # behind the last slot
        (-1, [[1]], [0]),
        (0, [[1]], [128]),  # behind the last position
        (0, [[1]], [-1]),
    ],
)
def test_what_does_not_fit_the_pool_is_refused(
    llama: SmallModel,
    open_small: OpenSmall,
    first_row: int,
    ids: list[list[int]],
    past: list[int],
) -> None:
    with pytest.raises(ValueError, match=r"row|tokens"):
        open_small(llama, "fp32").run(first_row, np.array(ids), np.array(past, np.int32))


def test_the_pool_says_its_size(llama: SmallModel, open_small: OpenSmall) -> None:
    decoder = open_small(llama, "fp32")
    layers, kv_heads, head_dim, float32 = 2, 2, 16, 4
    assert decoder.kv_bytes == layers * 2 * 6 * kv_heads * 128 * head_dim * float32
