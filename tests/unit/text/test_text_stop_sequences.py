"""Stop sequences: nothing of them is shown, whatever the pieces that text comes in."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from deployments.text.stop_sequences import StopBuffer


def shown(stops: tuple[str, ...], pieces: list[str]) -> str:
    """Everything that is released until a stop, or to the end."""
    buffer = StopBuffer(stops)
    said = ""
    for piece in pieces:
        released = buffer.push(piece)
        said += released.text
        if released.stopped:
            return said
    return said + buffer.flush()


def character_by_character(stops: tuple[str, ...], text: str) -> str:
    """The slow twin: after each character, is there a stop at the end?"""
    for end in range(1, len(text) + 1):
        found = [len(stop) for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(found)]
    return text


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_stop_sequence_is_found_at_every_split(cut: int) -> None:
    text = "before<|end|>"
    assert shown(("<|end|>",), [text[:cut], text[cut:], "after"]) == "before"


def test_no_part_of_a_stop_sequence_is_shown_early() -> None:
    buffer = StopBuffer(("STOP",))
    assert buffer.push("go ST").text == "go "
    assert buffer.push("O").text == ""
    assert buffer.push("P!").stopped


def test_a_beginning_that_comes_to_nothing_is_shown() -> None:
    buffer = StopBuffer(("STOP",))
    assert buffer.push("go STO").text == "go "
    assert buffer.push("RE").text == "STORE"


def test_what_was_held_back_is_flushed_at_the_end() -> None:
    buffer = StopBuffer(("STOP",))
    buffer.push("go STO")
    assert buffer.flush() == "STO"
    assert buffer.flush() == ""


def test_without_stop_sequences_text_goes_straight_through() -> None:
    assert StopBuffer(()).push("anything").text == "anything"


letters = st.text("ab", max_size=12)


@given(
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(letters, max_size=6),
)
def test_the_pieces_do_not_matter(stops: list[str], pieces: list[str]) -> None:
    expected = character_by_character(tuple(stops), "".join(pieces))
    assert shown(tuple(stops), pieces) == expected
