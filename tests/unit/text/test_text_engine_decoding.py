"""Constraints and logprobs through the step loop: beside others, and with guesses ahead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from text_fakes import Driver, FakeDecoder, Oracle, prepared, solo
from text_tokenizers import byte_tokenizer, compiler_for

from bestiary.errors import InvalidRequest
from bestiary.schemas.text import FinishReason, TokenLogprob
from deployments.text.constraints import CompiledGrammar, GrammarCompiler
from deployments.text.grammars import alone, lark
from deployments.text.logprobs import PromptLogprobs
from deployments.text.prepared import PreparedRequest

TOKENIZER = byte_tokenizer()
(END,) = TOKENIZER.end_ids
VOCABULARY = END + 1


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    return compiler_for(TOKENIZER)


def driver(speculate: int = 0, slots: int = 4, prefill_chunk: int = 4) -> Driver:
    decoder = FakeDecoder(slots, max_length=128, vocabulary=VOCABULARY)
    drafter = Oracle(decoder) if speculate else None
    ends = frozenset({END})
    return Driver(decoder, prefill_chunk, end_ids=ends, speculate=speculate, drafter=drafter)


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
    error = one.errors[1]
    assert isinstance(error, InvalidRequest)  # not an engine's failure: the grammar is too hard
    assert error.param == "response_format"
    assert one.tokens(2) == solo(free, one)
    assert one.engine.idle


def scored_prompt(prompt: tuple[int, ...], **fields: object) -> PreparedRequest:
    request = prepared(prompt, logprobs=1, **fields)  # type: ignore[arg-type]  # of a test
    noted = PromptLogprobs(request.prompt, [1] * len(prompt), 1, TOKENIZER)
    return replace(request, prompt_logprobs=noted, spells=TOKENIZER)


def prompt_logprobs(one: Driver, ticket: int, candidate: int = 0) -> list[TokenLogprob]:
    said = (chunk for chunk in one.chunks[ticket] if chunk.candidate == candidate)
    return [entry for chunk in said for entry in chunk.prompt_logprobs]


PROMPT = tuple(range(40))


@pytest.mark.parametrize("chunk", [3, 100])
def test_a_prompts_logprobs_come_with_its_first_tokens(chunk: int) -> None:
    one = driver(prefill_chunk=chunk)
    one.engine.submit(1, scored_prompt(PROMPT, max_tokens=3))
    one.drain()
    first, *rest = prompt_logprobs(one, 1)
    assert first.token.logprob is None
    for place, entry in enumerate(rest):
        logits = one.decoder.logits_of(PROMPT[: place + 1]).astype(float)
        expected = logits[PROMPT[place + 1]] - np.log(np.exp(logits).sum())
        assert entry.token.logprob == pytest.approx(expected, abs=1e-4)
        assert entry.top[0].token_id == int(logits.argmax())


def test_a_cached_prefix_leaves_no_hole_in_a_prompts_logprobs() -> None:
    decoder = FakeDecoder(4, max_length=128, vocabulary=VOCABULARY)
    one = Driver(decoder, prefill_chunk=100, prefix_cache_bytes=2**20)
    for ticket in (1, 2):
        one.engine.submit(ticket, scored_prompt(PROMPT, max_tokens=2))
        one.drain()
    assert not one.errors
    assert prompt_logprobs(one, 1) == prompt_logprobs(one, 2)


def test_every_candidate_tells_the_prompts_logprobs_once() -> None:
    one = driver()
    one.engine.submit(1, scored_prompt((1, 2, 3), candidates=3, max_tokens=4))
    one.drain()
    assert [len(prompt_logprobs(one, 1, candidate)) for candidate in range(3)] == [3, 3, 3]


def test_scoring_a_prompt_alone_takes_no_row() -> None:
    one = driver(slots=1)
    one.engine.submit(1, prepared((1, 2, 3), max_tokens=0, echo="the prompt"))
    one.drain()
    assert one.text(1) == "the prompt"
    assert one.tokens(1) == []
    assert finish(one, 1) is FinishReason.LENGTH
