"""The step loop: what each request is told, what a fault, a cancel and a deadline end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from text_fakes import Driver, FakeDecoder, prepared, solo

from bestiary.errors import DeadlineExceeded, EngineFailure, InvalidRequest, Overloaded
from bestiary.schemas.text import FinishReason, TextUsage


def driver(slots: int = 3, **options: object) -> Driver:
    return Driver(FakeDecoder(slots), **options)  # type: ignore[arg-type]  # keywords of a test


def history_after(steps: int, request_prompt: tuple[int, ...]) -> tuple[int, ...]:
    """A prompt and the first tokens that greedy decoding gives it."""
    alone = driver(1)
    alone.engine.submit(0, prepared(request_prompt, max_tokens=steps + 1))
    alone.drain()
    return (*request_prompt, *alone.tokens(0)[:steps])


def test_a_request_is_prefilled_and_decoded_to_its_length() -> None:
    one = driver()
    one.engine.submit(1, prepared(max_tokens=4))
    one.drain()
    last = one.chunks[1][-1]
    assert len(one.tokens(1)) == 4
    assert last.finish_reason is FinishReason.LENGTH
    assert last.usage == TextUsage(prompt_tokens=3, completion_tokens=4)


def test_the_first_token_comes_with_the_step_that_completes_the_prompt() -> None:
    one = driver(prefill_chunk=2)
    one.engine.submit(1, prepared(tuple(range(12))))  # a step takes four chunks
    one.step()
    assert 1 not in one.chunks
    one.step()
    assert len(one.tokens(1)) == 1  # told at once; decoding is the next step's
    one.step()
    assert len(one.tokens(1)) == 2


def test_a_long_prompt_does_not_stall_a_running_row() -> None:
    one = driver(prefill_chunk=2)
    one.engine.submit(1, prepared(max_tokens=20))
    one.step(3)
    one.engine.submit(2, prepared(tuple(range(12))))
    before = len(one.tokens(1))
    one.step(7)
    assert len(one.tokens(2)) > 0
    assert len(one.tokens(1)) == before + 6  # one step told the second request's first token


def test_every_decode_run_covers_the_rows_from_zero() -> None:
    one = driver()
    for ticket, length in enumerate((2, 6, 9)):
        one.engine.submit(ticket, prepared((ticket,), max_tokens=length))
    one.drain()
    decodes = [run for run in one.decoder.runs if run[2] == 1 and run[1] > 1]
    assert decodes
    assert {first for first, _, _ in decodes} == {0}


def test_candidates_share_one_prefill_and_differ() -> None:
    one = driver(prefill_chunk=100)
    request = prepared((1, 2, 3, 4, 5), candidates=3, temperature=1.5, max_tokens=10)
    one.engine.submit(1, request)
    one.drain()
    assert [run for run in one.decoder.runs if run[2] > 1] == [(0, 1, 5)]
    assert len({tuple(one.tokens(1, candidate)) for candidate in range(3)}) == 3


def test_more_candidates_than_rows_take_turns() -> None:
    one = driver(slots=2)
    request = prepared(candidates=5, temperature=1.0, max_tokens=4)
    one.engine.submit(1, request)
    one.drain()
    for candidate in range(5):
        assert one.tokens(1, candidate) == solo(request, one, candidate)


def test_only_the_last_chunk_of_a_request_has_timings_and_each_candidate_has_usage() -> None:
    one = driver()
    one.engine.submit(1, prepared(candidates=2, max_tokens=3))
    one.drain()
    chunks = one.chunks[1]
    assert [chunk.timings is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert sum(chunk.usage is not None for chunk in chunks) == 2


def test_timings_say_where_the_time_went() -> None:
    one = driver(slots=1)
    one.engine.submit(0, prepared(max_tokens=2))
    one.engine.submit(1, prepared(max_tokens=3))
    one.step(2)
    one.clock.now += 5
    one.step()
    one.clock.now += 7
    one.drain()
    timings = one.chunks[1][-1].timings
    assert timings is not None
    assert (timings.queue_s, timings.prefill_s, timings.decode_s) == (5, 0, 7)
    assert timings.total_s == 12


def test_echo_comes_first_for_each_candidate_without_tokens() -> None:
    one = driver()
    one.engine.submit(1, prepared(candidates=2, echo="the prompt: ", max_tokens=2))
    one.drain()
    for candidate in range(2):
        first, *rest = (chunk for chunk in one.chunks[1] if chunk.candidate == candidate)
        assert (first.text, first.token_ids) == ("the prompt: ", ())
        assert sum(len(chunk.token_ids) for chunk in rest) == 2


def test_a_cancelled_request_says_no_more_and_frees_its_row_at_once() -> None:
    one = driver(slots=1)
    one.engine.submit(1, prepared(max_tokens=50))
    one.engine.submit(2, prepared(max_tokens=2))
    one.step(3)
    said = len(one.chunks[1])
    one.engine.cancel(1)
    one.step()
    assert len(one.chunks[1]) == said
    assert 2 in one.chunks


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_a_request_can_be_cancelled_at_every_stage(steps: int) -> None:
    one = driver(slots=2, prefill_chunk=2)
    one.engine.submit(1, prepared((1, 2, 3), candidates=3, max_tokens=30))
    one.step(steps)
    one.engine.cancel(1)
    assert one.engine.idle
    assert one.engine.holds_nothing
    assert one.engine.load().kv_cache_usage == 0


def test_cancelling_what_is_over_is_no_fault() -> None:
    one = driver()
    one.engine.cancel(77)
    assert one.engine.idle


@pytest.mark.parametrize("steps", [0, 3])
def test_a_deadline_ends_a_request_that_waits_and_one_that_runs(steps: int) -> None:
    one = driver()
    one.engine.submit(1, prepared(max_tokens=50, deadline_s=110.0))
    one.step(steps)
    one.clock.now = 111.0
    one.step()
    assert isinstance(one.errors[1], DeadlineExceeded)
    assert one.engine.idle


def test_a_full_queue_is_overload() -> None:
    one = driver(max_waiting=1)
    one.engine.submit(1, prepared())
    with pytest.raises(Overloaded) as caught:
        one.engine.submit(2, prepared())
    assert caught.value.retry_after_s >= 1
    one.drain()
    assert 2 not in one.chunks


def test_nan_in_one_row_ends_that_request_alone() -> None:
    one = driver()
    one.decoder.broken.add(history_after(3, (1, 2, 3)))
    requests = {1: prepared((1, 2, 3)), 2: prepared((4, 5)), 3: prepared((6,))}
    for ticket, request in requests.items():
        one.engine.submit(ticket, request)
    one.drain()
    assert one.errors.keys() == {1}
    assert isinstance(one.errors[1], EngineFailure)
    for ticket in (2, 3):
        assert one.tokens(ticket) == solo(requests[ticket], one)


def test_nan_after_the_prompt_ends_the_request_and_its_candidates() -> None:
    one = driver()
    one.decoder.broken.add((1, 2, 3))
    one.engine.submit(1, prepared((1, 2, 3), candidates=3))
    one.drain()
    assert isinstance(one.errors[1], EngineFailure)
    assert one.engine.holds_nothing


def test_an_exception_in_a_prefill_ends_that_request_alone() -> None:
    one = driver()
    one.decoder.failing.add((1, 2, 3))
    running = prepared((4, 5))
    one.engine.submit(1, running)
    one.engine.submit(2, prepared((1, 2, 3)))
    one.drain()
    assert isinstance(one.errors[2], EngineFailure)
    assert one.tokens(1) == solo(running, one)


def test_an_exception_in_a_decode_run_ends_who_was_in_it_and_the_engine_goes_on() -> None:
    one = driver(slots=2)
    one.decoder.failing.add(history_after(3, (1, 2, 3)))
    later = prepared((6,))
    one.engine.submit(1, prepared((1, 2, 3)))
    one.engine.submit(2, prepared((4, 5)))
    one.engine.submit(3, later)
    one.drain()
    assert one.errors.keys() == {1, 2}
    assert one.tokens(3) == solo(later, one)


def test_an_end_token_as_the_first_token_takes_no_row() -> None:
    first = solo(prepared(), driver())[0]
    one = driver(end_ids=frozenset({first}))
    one.engine.submit(1, prepared())
    one.step()
    assert one.chunks[1][-1].finish_reason is FinishReason.STOP
    assert one.engine.idle


def test_a_row_can_be_filled_to_its_last_token() -> None:
    one = Driver(FakeDecoder(slots=1, max_length=10))
    one.engine.submit(1, prepared((1, 2, 3, 4), max_tokens=6))
    one.drain()
    assert len(one.tokens(1)) == 6


def test_a_seed_gives_the_same_text_whoever_is_beside_it() -> None:
    request = prepared((1, 2), seed=42, temperature=1.2, max_tokens=12)
    crowd = driver(slots=4)
    for ticket in range(3):
        crowd.engine.submit(ticket, prepared((ticket,), seed=ticket, temperature=1.9))
    crowd.step(2)
    crowd.engine.submit(9, request)
    crowd.drain()
    assert crowd.tokens(9) == solo(request, crowd)


def test_load_counts_requests_rows_and_cache() -> None:
    one = driver(slots=2, prefill_chunk=100)
    for ticket in range(4):
        one.engine.submit(ticket, prepared((1, 2, 3), max_tokens=30))
    one.step(3)
    load = one.engine.load()
    assert (load.running, load.waiting, load.slots) == (2, 2, 2)
    assert load.kv_cache_usage == pytest.approx(
        (5 + 5) / (2 * 64)
    )  # both prompts fit into the first step


def test_the_expected_wait_is_zero_while_rows_are_free_and_grows_with_the_queue() -> None:
    one = driver(slots=1)
    one.clock.tick = 0.01
    assert one.engine.load().queue_wait_s == 0
    one.engine.submit(0, prepared(max_tokens=3))
    one.drain()
    waits = []
    for ticket in range(1, 4):
        one.engine.submit(ticket, prepared(max_tokens=30))
        one.step()
        waits.append(one.engine.load().queue_wait_s)
    assert 0 < waits[0] < waits[1] < waits[2]


class NotedPrompt:
    """In place of `PromptLogprobs`: which positions' logits were told, and what they were."""

    def __init__(self, prompt: tuple[int, ...], like: FakeDecoder) -> None:
        self._prompt = prompt
        self._like = like
        self.positions: list[int] = []

    def note(self, logits: np.ndarray, start: int) -> None:
        for offset, row in enumerate(logits):
            history = self._prompt[: start + offset + 1]
            np.testing.assert_array_equal(row, self._like.logits_of(history))
            self.positions.append(start + offset)

    def entries(self) -> tuple[()]:
        return ()


def test_a_prompt_whose_logprobs_are_wanted_is_computed_whole() -> None:
    prompt = tuple(token % 50 for token in range(70))
    one = Driver(FakeDecoder(3, 128), prefill_chunk=16, prefix_cache_bytes=10**6)
    one.engine.submit(0, prepared(prompt, max_tokens=2))
    one.drain()  # now the cache knows it
    noted = NotedPrompt(prompt, one.decoder)
    one.engine.submit(1, replace(prepared(prompt, max_tokens=2), prompt_logprobs=noted))
    one.drain()
    assert noted.positions == list(range(70))
    assert one.tokens(1) == one.tokens(0)


class Refusing:
    """A tokenizer that knows what is wrong with a request."""

    def decode(self, ids: object) -> str:
        raise InvalidRequest("no text for this", "field")


def test_a_typed_error_reaches_its_request_as_it_is() -> None:
    one = driver()
    one.engine._tokenizer = Refusing()
    one.engine.submit(0, prepared())
    one.drain()
    assert isinstance(one.errors[0], InvalidRequest)
    assert one.engine.holds_nothing
