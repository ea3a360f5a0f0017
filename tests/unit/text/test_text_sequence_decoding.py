"""What a candidate's chunks carry besides text, and what ends a constrained one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from text_fakes import prepared
from text_tokenizers import byte_tokenizer, compiler_for

from bestiary.errors import InvalidRequest
from bestiary.schemas.text import FinishReason, TextChunk
from deployments.text.constraints import GrammarCompiler
from deployments.text.grammars import alone, lark
from deployments.text.logprobs import PromptLogprobs
from deployments.text.sampling import STUCK, choose
from deployments.text.sequence import Sequence

TOKENIZER = byte_tokenizer()
(END,) = TOKENIZER.end_ids
VOCABULARY = END + 1


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    return compiler_for(TOKENIZER)


def ids(text: str) -> list[int]:
    return TOKENIZER.encode(text, as_prompt=False)


def sequence(fields: dict[str, object] | None = None, **of_request: object) -> Sequence:
    """`fields` are PreparedRequest's own, the others those of `prepared`."""
    request = replace(prepared(**{"max_tokens": 50} | of_request), **(fields or {}))  # type: ignore[arg-type]  # of a test
    return Sequence(request, 0, TOKENIZER, TOKENIZER.end_ids)


def say(one: Sequence, *tokens: int) -> list[TextChunk]:
    """Lets the sequence choose exactly these tokens."""
    chunks: list[TextChunk] = []
    for token in tokens:
        logits = np.zeros((1, VOCABULARY), np.float32)
        logits[0, token] = 9.0
        assert choose(logits, [one.sampler]) == [token]
        chunk = one.accept(token)
        if chunk is not None:
            chunks.append(chunk)
    return chunks


def spelt(chunks: list[TextChunk]) -> bytes:
    return b"".join(one.token.data for chunk in chunks for one in chunk.logprobs)


def scored(**of_request: object) -> Sequence:
    return sequence({"spells": TOKENIZER}, logprobs=2, **of_request)


def test_every_token_of_the_answer_has_a_logprob() -> None:
    chunks = say(scored(), *ids("the sea, 50 € 你好"), END)
    assert spelt(chunks) == "the sea, 50 € 你好".encode()
    first = chunks[0].logprobs[0]
    assert first.token.logprob == pytest.approx(
        -np.log(1 + (VOCABULARY - 1) * np.exp(-9)), abs=1e-5
    )
    assert len(first.top) == 2
    assert first.top[0] == first.token


def test_logprobs_come_with_the_text_of_their_tokens() -> None:
    one = scored(stop=("sea!",))
    texts = [(chunk.text, spelt([chunk])) for chunk in say(one, *ids("the seas"), END)]
    assert texts == [("the", b"the"), (" ", b" sea"), ("sea", b""), ("s", b"s")]


def test_characters_add_up_to_the_text() -> None:
    text = "a € 🐙b"
    chunks = say(scored(), *ids(text), END)
    assert sum(one.characters for chunk in chunks for one in chunk.logprobs) == len(text)


def test_a_stop_sequences_tokens_have_no_logprobs_and_are_counted() -> None:
    one = scored(stop=("|x",))
    chunks = say(one, *ids("ab|x"))
    assert spelt(chunks) == b"ab"
    assert sum(len(chunk.token_ids) for chunk in chunks) == 4
    assert chunks[-1].finish_reason is FinishReason.STOP


def test_a_token_that_is_partly_shown_has_its_logprob() -> None:
    one = scored(stop=("ea",))
    chunks = say(one, *ids("the sea"))
    assert ("".join(chunk.text for chunk in chunks), spelt(chunks)) == ("the s", b"the sea")


def test_at_max_tokens_what_was_held_back_is_told_with_its_logprobs() -> None:
    one = scored(stop=("bcd",), max_tokens=2)
    chunks = say(one, *ids("bc"))
    assert spelt(chunks) == b"bc"
    assert chunks[-1].finish_reason is FinishReason.LENGTH


def test_an_unfinished_character_at_the_end_has_its_logprobs() -> None:
    chunks = say(scored(max_tokens=2), *ids("€")[:2])
    assert spelt(chunks) == b"\xe2\x82"


def test_without_a_wish_for_logprobs_there_are_none() -> None:
    chunks = say(sequence(), *ids("ab"), END)
    assert spelt(chunks) == b""
    assert chunks[-1].cumulative_logprob is None


def test_a_ranked_candidate_tells_its_whole_logprob_at_its_end() -> None:
    each = -np.log(1 + (VOCABULARY - 1) * np.exp(-9))
    chunks = say(sequence({"ranked": True}), *ids("ab"), END)
    assert [chunk.cumulative_logprob is None for chunk in chunks] == [True, True, False]
    assert chunks[-1].cumulative_logprob == pytest.approx(3 * each, abs=1e-5)
    assert spelt(chunks) == b""


def with_prompt_logprobs(max_tokens: int, candidate: int = 0) -> Sequence:
    prompt = np.array(ids("ab"), np.int64)
    noted = PromptLogprobs(prompt, [1, 1], 1, TOKENIZER)
    noted.note(np.zeros((2, VOCABULARY), np.float32), 0)
    request = replace(
        prepared(ids("ab"), max_tokens=max_tokens, logprobs=1),
        prompt_logprobs=noted,
        spells=TOKENIZER,
    )
    return Sequence(request, candidate, TOKENIZER, TOKENIZER.end_ids)


def test_the_prompts_logprobs_come_once() -> None:
    first, *rest = say(with_prompt_logprobs(4), *ids("xyz"), END)
    assert [one.token.logprob for one in first.prompt_logprobs] == [
        None,
        pytest.approx(-np.log(VOCABULARY)),
    ]
    assert [chunk.prompt_logprobs for chunk in rest] == [()] * 3


def test_where_only_the_prompt_is_asked_about_nothing_is_generated() -> None:
    one = with_prompt_logprobs(0)
    (chunk,) = say(one, 5)
    assert (chunk.text, chunk.token_ids, chunk.logprobs) == ("", (), ())
    assert len(chunk.prompt_logprobs) == 2
    assert chunk.finish_reason is FinishReason.LENGTH
    assert chunk.usage is not None
    assert chunk.usage.completion_tokens == 0


def held_to(compiler: GrammarCompiler, grammar: str, **of_request: object) -> Sequence:
    return sequence({"grammar": compiler.compile(alone(lark(grammar)), "x")}, **of_request)


def test_a_complete_answer_stops(compiler: GrammarCompiler) -> None:
    chunks = say(held_to(compiler, 'start: "ab"'), *ids("ab"))
    assert [chunk.text for chunk in chunks] == ["a", "b"]
    assert chunks[-1].finish_reason is FinishReason.STOP


def test_an_answer_that_could_go_on_ends_with_an_end_token(compiler: GrammarCompiler) -> None:
    chunks = say(held_to(compiler, 'start: "a"+'), *ids("aa"), END)
    assert chunks[-1].finish_reason is FinishReason.STOP


def test_an_incomplete_answer_at_max_tokens_is_too_long(compiler: GrammarCompiler) -> None:
    chunks = say(held_to(compiler, 'start: "abc"', max_tokens=2), *ids("ab"))
    assert chunks[-1].finish_reason is FinishReason.LENGTH


def test_a_complete_answer_at_max_tokens_stops(compiler: GrammarCompiler) -> None:
    chunks = say(held_to(compiler, 'start: "ab"', max_tokens=2), *ids("ab"))
    assert chunks[-1].finish_reason is FinishReason.STOP


def test_a_stop_sequence_ends_a_constrained_answer_too(compiler: GrammarCompiler) -> None:
    chunks = say(held_to(compiler, 'start: "abcd"', stop=("c",)), *ids("abc"))
    assert "".join(chunk.text for chunk in chunks) == "ab"
    assert chunks[-1].finish_reason is FinishReason.STOP


def test_what_a_stop_sequence_held_back_is_said_when_the_answer_is_complete(
    compiler: GrammarCompiler,
) -> None:
    chunks = say(held_to(compiler, 'start: "ab"', stop=("bx",)), *ids("ab"))
    assert "".join(chunk.text for chunk in chunks) == "ab"


def test_candidates_have_places_of_their_own(compiler: GrammarCompiler) -> None:
    grammar = compiler.compile(alone(lark('start: "ab"')), "x")
    request = replace(prepared(candidates=2), grammar=grammar)
    first, second = (Sequence(request, one, TOKENIZER, TOKENIZER.end_ids) for one in range(2))
    say(first, *ids("ab"))
    say(second, *ids("ab"))
    assert (first.finish, second.finish) == (FinishReason.STOP, FinishReason.STOP)


def test_a_stuck_answer_is_the_callers_fault(compiler: GrammarCompiler) -> None:
    one = held_to(compiler, r"start: /(.{0,200}a){0,50}b/")
    a = ids("a")[0]
    token = a
    for _ in range(200):
        logits = np.zeros((1, VOCABULARY), np.float32)
        logits[0, a] = 9.0
        (token,) = choose(logits, [one.sampler])
        if token == STUCK:
            break
        one.accept(token)
    with pytest.raises(InvalidRequest, match="cannot go on") as caught:
        one.accept(token)
    assert token == STUCK
    assert caught.value.param == "x"
