"""Constraints and logprobs through the step loop: beside others, and with guesses ahead."""

from __future__ import annotations

from dataclasses import replace

import pytest
from text_fakes import Driver, FakeDecoder, Oracle, prepared, solo
from text_tokenizers import byte_tokenizer, compiler_for

from bestiary.schemas.text import FinishReason
from deployments.text.constraints import CompiledGrammar, GrammarCompiler
from deployments.text.grammars import alone, lark
from deployments.text.prepared import PreparedRequest

TOKENIZER = byte_tokenizer()
(END,) = TOKENIZER.end_ids
VOCABULARY = END + 1


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    return compiler_for(TOKENIZER)


def driver(speculate: int = 0, slots: int = 4) -> Driver:
    decoder = FakeDecoder(slots, max_length=128, vocabulary=VOCABULARY)
    drafter = Oracle(decoder) if speculate else None
    return Driver(decoder, end_ids=frozenset({END}), speculate=speculate, drafter=drafter)


def regex(compiler: GrammarCompiler, source: str) -> CompiledGrammar:
    return compiler.compile(alone(lark(f"start: /{source}/")), "response_format")


def said(one: Driver, ticket: int) -> str:
    return TOKENIZER.decode(one.tokens(ticket))


def finish(one: Driver, ticket: int) -> FinishReason | None:
    return one.chunks[ticket][-1].finish_reason


def test_constrained_and_free_requests_share_a_batch(compiler: GrammarCompiler) -> None:
    one = driver()
    held = replace(prepared((1, 2), max_tokens=40), grammar=regex(compiler, "[ab]{5,9}c"))
    free = prepared((3, 4), max_tokens=12, temperature=1.3)
    one.engine.submit(1, held)
    one.engine.submit(2, free)
    one.drain()
    assert said(one, 1).strip("ab") == "c"
    assert finish(one, 1) is FinishReason.STOP
    assert one.tokens(1) == solo(held, one)
    assert one.tokens(2) == solo(free, one)


@pytest.mark.parametrize("sampling", [{}, {"temperature": 1.0, "seed": 3}])
def test_guessing_ahead_changes_no_constrained_answer_and_no_logprob(
    compiler: GrammarCompiler, sampling: dict[str, object]
) -> None:
    request = prepared((1, 2), max_tokens=60, logprobs=2, **sampling)  # type: ignore[arg-type]  # of a test
    request = replace(request, grammar=regex(compiler, "(ab|ba){3,20}"), spells=TOKENIZER)
    answers = []
    for speculate in (0, 4):
        one = driver(speculate)
        one.engine.submit(1, request)
        one.drain()
        answers.append((one.tokens(1), [entry for c in one.chunks[1] for entry in c.logprobs]))
    assert answers[0] == answers[1]
    tokens, entries = answers[0]
    assert [entry.token.token_id for entry in entries] == [t for t in tokens if t != END]


def test_candidates_of_a_constrained_request_each_have_their_place(
    compiler: GrammarCompiler,
) -> None:
    one = driver(slots=2)
    request = prepared((1, 2), candidates=5, temperature=1.0, max_tokens=30)
    request = replace(request, grammar=regex(compiler, "[a-e]{4}"), ranked=True)
    one.engine.submit(1, request)
    one.drain()
    texts = {TOKENIZER.decode(one.tokens(1, candidate)) for candidate in range(5)}
    assert all(len(text) == 4 for text in texts)
    assert len(texts) > 1
    ranks = [c.cumulative_logprob for c in one.chunks[1] if c.finish_reason is not None]
    assert all(isinstance(rank, float) for rank in ranks)
    assert len(ranks) == 5


def stuck(compiler: GrammarCompiler) -> PreparedRequest:
    request = prepared(
        (1, 2), max_tokens=100, logit_bias={TOKENIZER.encode("a", as_prompt=False)[0]: 100.0}
    )
    return replace(request, grammar=regex(compiler, "(.{0,200}a){0,50}b"))


def test_a_constraint_that_cannot_go_on_ends_its_request_alone(
    compiler: GrammarCompiler,
) -> None:
    one = driver()
    free = prepared((3, 4), max_tokens=50)
    one.engine.submit(1, stuck(compiler))
    one.engine.submit(2, free)
    one.drain()
    assert one.errors.keys() == {1}
    assert one.tokens(2) == solo(free, one)
    assert one.engine.idle


def test_scoring_a_prompt_alone_takes_no_row() -> None:
    one = driver(slots=1)
    one.engine.submit(1, prepared((1, 2, 3), max_tokens=0, echo="the prompt"))
    one.drain()
    assert one.text(1) == "the prompt"
    assert one.tokens(1) == []
    assert finish(one, 1) is FinishReason.LENGTH
