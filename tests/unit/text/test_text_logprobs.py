"""Logprobs against a plain softmax, and which of them may be shown when."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from text_tokenizers import byte_tokenizer

from bestiary.schemas.text import Sampling, ScoredToken, TokenLogprob
from deployments.text.logprobs import HeldLogprobs, PromptLogprobs, score
from deployments.text.sampling import BROKEN, RowSampler, choose

VOCABULARY = 300
PROMPT = np.array([1, 2, 3], np.int64)


def some_logits(rows: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(scale=3, size=(rows, VOCABULARY)).astype("f4")


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    exact = logits.astype(np.float64)
    return exact - np.log(np.exp(exact).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("top", [0, 1, 5, 20, 64, VOCABULARY])
def test_scores_are_the_softmaxs(top: int) -> None:
    logits = some_logits(3)
    expected = log_softmax(logits)
    for row, scores in enumerate(score(logits, [7, 8, 9], [top] * 3)):
        order = np.argsort(-expected[row], kind="stable")[:top]
        assert scores.logprob == pytest.approx(expected[row, 7 + row], abs=1e-5)
        assert scores.top_ids.tolist() == order.tolist()
        assert scores.top_logprobs == pytest.approx(expected[row][order], abs=1e-5)


def test_equal_tokens_come_by_their_ids() -> None:
    [scores] = score(np.zeros((1, VOCABULARY), np.float32), [5], [4])
    assert scores.top_ids.tolist() == [0, 1, 2, 3]


def test_tokens_too_unlikely_for_a_float_still_have_an_order() -> None:
    logits = np.full((1, 8), -200.0, np.float32)
    logits[0, 0], logits[0, 6] = 0.0, -150.0
    [scores] = score(logits, [6], [2])
    assert scores.top_ids.tolist() == [0, 6]
    assert scores.logprob == pytest.approx(-150)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0, logprobs=2),
        Sampling(temperature=1.7, top_k=3, logprobs=2),
        Sampling(temperature=0.5, top_p=0.5, min_p=0.2, logprobs=2),
        Sampling(temperature=0, logit_bias={9: 100.0}, logprobs=2),
        Sampling(temperature=1, repetition_penalty=2, presence_penalty=1, logprobs=2),
    ],
)
def test_they_are_the_models_whatever_chooses(sampling: Sampling) -> None:
    logits = some_logits(1)
    expected = log_softmax(logits)[0]
    sampler = RowSampler.begin(sampling, 1, 0, PROMPT)
    (token,) = choose(logits, [sampler])
    assert sampler.scores is not None
    assert sampler.scores.token == token
    assert sampler.scores.logprob == pytest.approx(expected[token], abs=1e-5)
    assert sampler.scores.top_ids.tolist() == np.argsort(-expected)[:2].tolist()


def test_only_rows_that_want_scores_get_them_and_a_broken_one_gets_none() -> None:
    logits = some_logits(3)
    logits[2, 5] = np.nan
    wants = [None, 1, 1]
    samplers = [
        RowSampler.begin(Sampling(temperature=0, logprobs=top), 1, 0, PROMPT) for top in wants
    ]
    tokens = choose(logits, samplers)
    assert tokens[2] == BROKEN
    assert [one.scores is not None for one in samplers] == [False, True, False]


def test_a_ranked_row_is_scored_without_alternatives() -> None:
    sampler = RowSampler.begin(Sampling(temperature=0), 1, 0, PROMPT, scored=True)
    choose(some_logits(1), [sampler])
    assert sampler.scores is not None
    assert len(sampler.scores.top_ids) == 0


def entry(characters: int, number: int = 0) -> TokenLogprob:
    return TokenLogprob(ScoredToken(number, b"x" * characters, False, -1.0), characters)


def test_a_tokens_logprob_is_held_back_as_its_text_is() -> None:
    held = HeldLogprobs()
    held.add(entry(2, 1))
    held.add(entry(3, 2))
    assert held.show(0) == ()
    assert held.show(2) == (entry(2, 1),)
    assert held.show(1) == (entry(3, 2),)  # a part of its text is shown
    assert held.rest() == ()


def test_parts_of_a_character_are_shown_with_it() -> None:
    held = HeldLogprobs()
    for number, characters in enumerate((0, 0, 1)):
        held.add(entry(characters, number))
    assert len(held.show(1)) == 3


def test_the_rest_is_everything_that_was_not_shown() -> None:
    held = HeldLogprobs()
    held.add(entry(1, 1))
    held.add(entry(0, 2))
    assert held.show(1) == (entry(1, 1),)
    assert held.rest() == (entry(0, 2),)


def prompt_logprobs(prompt: NDArray[np.int64]) -> PromptLogprobs:
    return PromptLogprobs(prompt, [1] * len(prompt), 2, byte_tokenizer())


@pytest.mark.parametrize("cuts", [[40], [1] * 40, [16, 24], [39, 1]])
def test_a_prompts_logprobs_do_not_depend_on_its_chunks(cuts: list[int]) -> None:
    prompt = np.arange(40, dtype=np.int64)
    logits = some_logits(40)
    expected = log_softmax(logits)
    noted, start = prompt_logprobs(prompt), 0
    for cut in cuts:
        noted.note(logits[start : start + cut], start)
        start += cut
    first, *rest = noted.entries()
    assert (first.token.logprob, first.top) == (None, ())
    for place, one in enumerate(rest):
        assert one.token.token_id == prompt[place + 1]
        assert one.token.logprob == pytest.approx(expected[place, prompt[place + 1]], abs=1e-5)
        assert len(one.top) == 2


def test_computing_a_prompt_again_with_what_followed_it_changes_nothing() -> None:
    prompt = np.array([5, 6, 7], np.int64)
    logits = some_logits(3)
    noted = prompt_logprobs(prompt)
    noted.note(logits, 0)
    before = noted.entries()
    noted.note(np.concatenate([logits, some_logits(4, seed=1)]), 0)
    assert noted.entries() == before


def test_a_prompt_of_one_token_has_nothing_before_it() -> None:
    noted = prompt_logprobs(np.array([5], np.int64))
    noted.note(some_logits(1), 0)
    assert [one.token.logprob for one in noted.entries()] == [None]
