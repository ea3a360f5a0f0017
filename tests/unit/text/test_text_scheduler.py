"""Who is next. Policy only: nothing runs here."""

from __future__ import annotations

import pytest
from text_fakes import LetterTokenizer, prepared

from bestiary.errors import Overloaded
from deployments.text.generation import Generation
from deployments.text.scheduler import Scheduler


def generation(ticket: int, prompt: int = 3, candidates: int = 1) -> Generation:
    request = prepared(range(prompt), candidates=candidates)
    return Generation.of(ticket, request, LetterTokenizer(), frozenset(), now=0.0)


def scheduler(*waiting: Generation, slots: int = 2, chunk: int = 2, bound: int = 5) -> Scheduler:
    made = Scheduler(slots, chunk, bound)
    for one in waiting:
        made.add(one, retry_after_s=1.0)
    return made


def test_first_come_first_served() -> None:
    first, second = generation(1), generation(2)
    chunk = scheduler(first, second).next_chunk(decoding=0)
    assert chunk is not None
    assert chunk.generation is first


def test_a_prompt_is_cut_into_chunks_in_the_row_over_those_that_decode() -> None:
    one = generation(1, prompt=3)
    policy = scheduler(one)
    chunk = policy.next_chunk(decoding=1)
    assert chunk is not None
    assert (chunk.row, chunk.start, chunk.stop, chunk.completes_prompt) == (1, 0, 2, False)
    one.computed = 2
    chunk = policy.next_chunk(decoding=0)  # the decoding row ended meanwhile
    assert chunk is not None
    assert (chunk.row, chunk.start, chunk.stop, chunk.completes_prompt) == (1, 2, 3, True)


def test_nobody_begins_while_every_row_decodes() -> None:
    assert scheduler(generation(1)).next_chunk(decoding=2) is None


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    policy = scheduler(generation(1), generation(2), bound=2)
    with pytest.raises(Overloaded, match="2 requests") as caught:
        policy.add(generation(3), retry_after_s=4.0)
    assert caught.value.retry_after_s == 4.0


def test_candidates_of_a_computed_prompt_go_before_everyone_who_waits() -> None:
    group, other = generation(1, prompt=2, candidates=3), generation(2)
    policy = scheduler(group, other)
    policy.next_chunk(decoding=0)
    group.started = 1
    policy.prefilled()
    assert policy.next_fork(decoding=1) is group
    group.started = 2
    policy.forked()
    assert policy.next_fork(decoding=2) is None  # no row is free
    assert policy.next_chunk(decoding=1) is None  # and nobody overtakes
    assert policy.next_fork(decoding=1) is group
    group.started = 3
    policy.forked()
    chunk = policy.next_chunk(decoding=1)
    assert chunk is not None
    assert chunk.generation is other


@pytest.mark.parametrize("stage", ["waiting", "prefilling", "forking"])
def test_a_removed_request_is_nowhere(stage: str) -> None:
    one = generation(1, candidates=2)
    policy = scheduler(one)
    if stage != "waiting":
        policy.next_chunk(decoding=0)
    if stage == "forking":
        one.started = 1
        policy.prefilled()
    assert policy.held() == [one]
    policy.remove(one)
    assert policy.held() == []
    assert policy.idle
