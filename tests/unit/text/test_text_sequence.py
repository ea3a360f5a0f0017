"""One candidate: what it says, with which tokens, and why it ends."""

from __future__ import annotations

from text_fakes import LetterTokenizer, prepared

from bestiary.schemas.text import FinishReason, TextUsage
from deployments.text.sequence import Sequence

END = 25


def sequence(**fields: object) -> Sequence:
    request = prepared(**{"max_tokens": 5} | fields)  # type: ignore[arg-type]  # keywords of a test
    return Sequence(request, 0, LetterTokenizer(), frozenset({END}))


def test_a_token_that_completes_text_makes_a_chunk() -> None:
    chunk = sequence().accept(0)
    assert chunk is not None
    assert (chunk.text, chunk.token_ids, chunk.finish_reason) == ("a", (0,), None)


def test_an_end_token_has_no_text_and_is_counted() -> None:
    one = sequence()
    one.accept(0)
    chunk = one.accept(END)
    assert chunk is not None
    assert (chunk.text, chunk.token_ids) == ("", (END,))
    assert chunk.finish_reason is FinishReason.STOP
    assert chunk.usage == TextUsage(prompt_tokens=3, completion_tokens=2)


def test_max_tokens_end_it() -> None:
    one = sequence(max_tokens=2)
    one.accept(0)
    chunk = one.accept(1)
    assert chunk is not None
    assert (chunk.text, chunk.finish_reason) == ("b", FinishReason.LENGTH)


def test_an_end_token_at_max_tokens_is_a_stop() -> None:
    chunk = sequence(max_tokens=1).accept(END)
    assert chunk is not None
    assert chunk.finish_reason is FinishReason.STOP


def test_a_stop_sequence_over_two_tokens_is_not_said_but_its_tokens_are_counted() -> None:
    one = sequence(stop=("bc",))
    assert one.accept(0) is not None
    assert one.accept(1) is None
    chunk = one.accept(2)
    assert chunk is not None
    assert (chunk.text, chunk.token_ids) == ("", (1, 2))
    assert chunk.finish_reason is FinishReason.STOP


def test_what_a_stop_sequence_held_back_is_said_at_the_end() -> None:
    for last, reason in ((END, FinishReason.STOP), (0, FinishReason.LENGTH)):
        one = sequence(stop=("bcd", "ax"), max_tokens=2)
        one.accept(1)
        chunk = one.accept(last)
        assert chunk is not None
        assert chunk.text == ("b" if last == END else "ba")
        assert chunk.finish_reason is reason
        assert chunk.token_ids == (1, last)
