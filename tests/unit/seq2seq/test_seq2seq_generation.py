"""Greedy and beam search, token for token what transformers' `generate` finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bestiary.schemas.text import FinishReason
from deployments.kernels.seq2seq_session import Seq2SeqSession
from deployments.seq2seq.engine import Job, Seq2SeqEngine
from tests.unit.kernels.small_seq2seqs import TRANSFORMERS, lively, opened, padded, recurrent
from tests.unit.seq2seq.running import (
    MOST,
    SOURCES,
    finished,
    generated,
    jobs,
    plan_of,
    run,
)

Opened = tuple[Any, Seq2SeqSession]


@pytest.fixture(scope="module", params=list(TRANSFORMERS))
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    folder = tmp_path_factory.mktemp("model")
    model = lively(request.param, folder)
    return model, opened(folder, tmp_path_factory.mktemp("build"))


def engine(session: Seq2SeqSession, slots: int = 64) -> Seq2SeqEngine:
    return Seq2SeqEngine(session, slots, max_batch_tokens=256)


def test_greedy_equals_generate(small: Opened) -> None:
    model, session = small
    assert run(engine(session), plan_of(model), SOURCES) == generated(model, SOURCES)


@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 2},
        {"num_beams": 4},
        {"num_beams": 4, "length_penalty": 2.0},
        {"num_beams": 4, "length_penalty": 0.0},
        {"num_beams": 4, "length_penalty": -1.0},
        {"num_beams": 5, "early_stopping": True},
        {"num_beams": 3, "early_stopping": "never"},
        {"num_beams": 3, "early_stopping": "never", "length_penalty": 0.5},
        {"num_beams": 4, "no_repeat_ngram_size": 2},
        {"num_beams": 4, "no_repeat_ngram_size": 1, "early_stopping": True},
        {"num_beams": 1, "no_repeat_ngram_size": 3},
        {"num_beams": 1, "no_repeat_ngram_size": 1},
        {"num_beams": 16},
    ],
    ids=str,
)
def test_search_equals_generate(small: Opened, options: dict[str, Any]) -> None:
    model, session = small
    found = run(engine(session, slots=80), plan_of(model, **options), SOURCES)
    assert found == generated(model, SOURCES, **options)


@pytest.mark.parametrize("beams", [1, 4])
def test_the_shortest_output_equals_generate(small: Opened, beams: int) -> None:
    model, session = small
    found = run(engine(session), plan_of(model, num_beams=beams, min_tokens=9), SOURCES)
    assert found == generated(model, SOURCES, num_beams=beams, min_new_tokens=9)
    assert all(len(row) >= 9 for row in found)


def test_beams_and_greedy_of_several_requests_run_together(small: Opened) -> None:
    model, session = small
    together = engine(session, slots=12)  # fewer rows than are wanted: some wait
    asked = {"a": {"num_beams": 4}, "b": {"num_beams": 1}, "c": {"num_beams": 3}}
    for owner, options in asked.items():
        together.submit(jobs(plan_of(model, **options), SOURCES, owner))
    found = finished(together, 15)
    for owner, options in asked.items():
        expected = generated(model, SOURCES, **options)
        assert [list(found[owner, i].tokens) for i in range(5)] == expected
    assert together.idle


def test_an_input_that_comes_later_finds_the_same(small: Opened) -> None:
    model, session = small
    running = engine(session)
    running.submit(jobs(plan_of(model), SOURCES[:2], "first"))
    for _ in range(3):
        running.turn()
    running.submit(jobs(plan_of(model), SOURCES[2:], "later"))
    found = finished(running, 5)
    texts = [found["first", 0], found["first", 1], *(found["later", i] for i in range(3))]
    assert [list(one.tokens) for one in texts] == generated(model, SOURCES)


def test_sampling_does_not_depend_on_batch_mates(small: Opened) -> None:
    model, session = small
    plan = plan_of(model, temperature=1.5, top_k=20, top_p=0.9, seed=7)
    together = run(engine(session), plan, SOURCES)
    alone = []
    for index, source in enumerate(SOURCES):
        single = engine(session)
        single.submit([Job("one", index, source, plan, attention=False)])
        alone.append(list(finished(single, 1)["one", index].tokens))
    assert together == alone
    assert together != run(engine(session), plan_of(model, temperature=1.5, seed=8), SOURCES)


def test_reasons_tell_an_end_from_a_cut(small: Opened) -> None:
    model, session = small
    running = engine(session)
    running.submit(jobs(plan_of(model), SOURCES))
    end = model.generation_config.eos_token_id
    for one in finished(running, 5).values():
        ended = one.tokens[-1] == end
        assert one.finish_reason is (FinishReason.STOP if ended else FinishReason.LENGTH)
        assert ended or len(one.tokens) == MOST


@pytest.mark.parametrize("beams", [1, 4])
def test_attention_is_that_of_the_tokens_found(small: Opened, beams: int) -> None:
    model, session = small
    running = engine(session)
    plan = plan_of(model, num_beams=beams)
    running.submit([Job("one", i, s, plan, attention=True) for i, s in enumerate(SOURCES)])
    found = finished(running, 5)
    start = model.generation_config.decoder_start_token_id
    for index, source in enumerate(SOURCES):
        one = found["one", index]
        ids, mask = padded([source])
        with torch.no_grad():
            out = model(
                input_ids=ids,
                attention_mask=mask,
                decoder_input_ids=torch.tensor([[start, *one.tokens[:-1]]]),
                output_attentions=True,
            )
        assert one.attention is not None
        expected = out.cross_attentions[-1][0].mean(0).numpy()
        np.testing.assert_allclose(one.attention, expected, atol=1e-3)


def test_a_cancelled_owner_frees_its_rows(small: Opened) -> None:
    model, session = small
    running = engine(session, slots=8)
    running.submit(jobs(plan_of(model, num_beams=4), SOURCES, "gone"))
    running.submit(jobs(plan_of(model), SOURCES, "stays"))
    running.turn()
    running.cancel("gone")
    found = finished(running, 5)
    assert {owner for owner, _ in found} == {"stays"}
    expected = generated(model, SOURCES)
    assert [list(found["stays", i].tokens) for i in range(5)] == expected
    assert running.idle


@pytest.mark.parametrize("attention", [True, False])
def test_the_recurrent_one_is_decoded_as_by_its_slow_twin(attention: bool, tmp_path: Path) -> None:
    model = recurrent(tmp_path / "model", attention=attention)
    session = opened(tmp_path / "model", tmp_path / "build")
    config = model.config
    special = plan_of_recurrent(config.bos_token_id, config.eos_token_id)
    ids, mask = padded(SOURCES)
    expected = model.greedy(ids, mask.sum(1), MOST)
    found = run(engine(session), special, SOURCES)
    assert [row[:-1] if row[-1] == config.eos_token_id else row for row in found] == expected


def plan_of_recurrent(start: int, end: int) -> Any:
    class _Config:
        decoder_start_token_id = start
        eos_token_id = end
        forced_bos_token_id = None
        forced_eos_token_id = None
        bad_words_ids = None

    class _Model:
        generation_config = _Config

    return plan_of(_Model)
