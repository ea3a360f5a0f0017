"""Who is next. Policy only: nothing runs here."""

from __future__ import annotations

import pytest
from text_fakes import LetterTokenizer, prepared

from bestiary.errors import Overloaded
from bestiary.schemas.text import Priority
from deployments.text.generation import Generation
from deployments.text.rows import Occupant
from deployments.text.scheduler import Prefill, Scheduler
from deployments.text.speculation import RowSpeculation
from deployments.text.swap import Suspended

BATCH = Priority.BATCH


def generation(
    ticket: int,
    prompt: int = 3,
    candidates: int = 1,
    priority: Priority = Priority.INTERACTIVE,
    scheduled_s: float | None = None,
) -> Generation:
    request = prepared(range(prompt), candidates=candidates, priority=priority)
    made = Generation.of(ticket, request, LetterTokenizer(), frozenset(), now=0.0)
    made.scheduled_s = scheduled_s
    return made


def occupant(of: Generation) -> Occupant:
    tokens = [*of.request.prompt.tolist(), 7]
    return Occupant(of, of.sequences[0], RowSpeculation(tokens))


def scheduler(*waiting: Generation, slots: int = 2, bound: int = 5) -> Scheduler:
    made = Scheduler(slots, bound)
    for one in waiting:
        made.add(one, retry_after_s=1.0)
    return made


def begun(policy: Scheduler, decoding: int = 0) -> Prefill:
    found = policy.begin(decoding)
    assert found is not None
    return found


def computed(policy: Scheduler) -> None:
    """What is being computed is done."""
    for prefill in policy.prefilling:
        policy.prefilled(prefill)


def test_first_come_first_served() -> None:
    first, second = generation(1), generation(2)
    assert begun(scheduler(first, second)).generation is first


def test_interactive_requests_go_before_batch_ones() -> None:
    first, second = generation(1, priority=BATCH), generation(2)
    assert begun(scheduler(first, second)).generation is second


def test_a_prompt_is_computed_in_the_row_over_those_that_decode_and_stays_there() -> None:
    policy = scheduler(generation(1))
    prefill = begun(policy, decoding=1)
    assert prefill.row == 1
    assert policy.prefilling == (prefill,)
    assert prefill.row == 1  # though the decoding row may end meanwhile


def test_another_prompt_begins_above_those_that_are_being_computed() -> None:
    policy = scheduler(generation(1), generation(2), generation(3), slots=4)
    first = begun(policy, decoding=1)
    second = begun(policy, decoding=1)
    assert (first.row, second.row) == (1, 2)
    first.generation.started = 1
    policy.prefilled(first)
    assert begun(policy, decoding=1).row == 3  # the second one is still in row 2
    assert policy.begin(decoding=1) is None


def test_nobody_begins_above_the_last_row() -> None:
    policy = scheduler(generation(1), generation(2), slots=2)
    begun(policy, decoding=1)
    assert policy.begin(decoding=0) is None  # row 1 is taken, whatever ended below it


@pytest.mark.parametrize(
    ("length", "budget", "stops"),
    [
        (3, 10, [3]),
        (10, 4, [4, 8, 10]),
        (9, 4, [4, 7, 9]),  # not 8 and then one alone
        (3, 2, [3]),
        (1, 2, [1]),
    ],
)
def test_a_prompt_is_cut_so_that_no_token_is_left_alone(
    length: int, budget: int, stops: list[int]
) -> None:
    prefill = begun(scheduler(generation(1, prompt=length)))
    found = []
    while prefill.done < length:
        prefill.done = prefill.next_stop(budget, aligned=False)
        found.append(prefill.done)
    assert found == stops


@pytest.mark.parametrize(
    ("length", "budget", "stops"),
    [
        (100, 200, [100]),
        (100, 50, [32, 64, 100]),
        (65, 32, [32, 64, 65]),
        (130, 100, [96, 130]),
        (40, 16, [16, 32, 40]),  # less than a block at a time: nothing to align
    ],
)
def test_a_graph_that_sums_in_blocks_is_given_whole_blocks(
    length: int, budget: int, stops: list[int]
) -> None:
    prefill = begun(scheduler(generation(1, prompt=length)))
    found = []
    while prefill.done < length:
        prefill.done = prefill.next_stop(budget, aligned=True)
        found.append(prefill.done)
    assert found == stops


def test_nobody_begins_while_every_row_decodes() -> None:
    assert scheduler(generation(1)).begin(decoding=2) is None


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    policy = scheduler(generation(1), generation(2, priority=BATCH), bound=2)
    with pytest.raises(Overloaded, match="2 requests") as caught:
        policy.add(generation(3), retry_after_s=4.0)
    assert caught.value.retry_after_s == 4.0


def test_candidates_of_a_computed_prompt_go_before_everyone_who_waits() -> None:
    group, other = generation(1, prompt=2, candidates=3), generation(2)
    policy = scheduler(group, other)
    begun(policy)
    group.started = 1
    computed(policy)
    assert policy.next_fork(decoding=1) is group
    group.started = 2
    policy.forked()
    assert policy.next_fork(decoding=2) is None  # no row is free
    assert policy.begin(decoding=1) is None  # and nobody overtakes
    assert policy.next_fork(decoding=1) is group
    group.started = 3
    policy.forked()
    assert begun(policy, decoding=1).generation is other


def test_an_interactive_request_overtakes_the_candidates_of_a_batch_one() -> None:
    group = generation(1, candidates=3, priority=BATCH)
    policy = scheduler(group)
    begun(policy)
    group.started = 1
    computed(policy)
    urgent = generation(2)
    policy.add(urgent, retry_after_s=1.0)
    assert policy.next_fork(decoding=1) is None
    assert begun(policy, decoding=1).generation is urgent


def test_the_batch_row_that_began_last_gives_way() -> None:
    rows = [
        occupant(generation(1, priority=BATCH, scheduled_s=5.0)),
        occupant(generation(2, scheduled_s=9.0)),
        occupant(generation(3, priority=BATCH, scheduled_s=7.0)),
    ]
    assert scheduler(generation(4), slots=3).victim(rows) == 2


def test_nobody_gives_way_without_need() -> None:
    batch = [occupant(generation(1, priority=BATCH))]
    interactive = [occupant(generation(2))]
    assert scheduler(generation(4), slots=2).victim(batch) is None  # a row is free
    assert scheduler(slots=1).victim(batch) is None  # nobody waits
    assert scheduler(generation(4, priority=BATCH), slots=1).victim(batch) is None
    assert scheduler(generation(4), slots=1).victim(interactive) is None


def test_who_gave_way_comes_back_when_nobody_urgent_waits() -> None:
    kept = Suspended(occupant(generation(1, priority=BATCH)), kv=prepared().prompt)
    policy = scheduler(generation(2))
    policy.suspend(kept)
    assert policy.next_back(decoding=1) is None
    begun(policy).generation.started = 1
    assert policy.next_back(decoding=1) is None  # that row is being prefilled
    computed(policy)
    assert policy.next_back(decoding=1) is kept
    assert policy.idle


def test_who_lost_its_kv_is_computed_again_from_all_its_tokens_but_the_last() -> None:
    lost = Suspended(occupant(generation(1, priority=BATCH)), kv=None)
    policy = scheduler(generation(2, priority=BATCH))
    policy.suspend(lost)
    assert policy.next_back(decoding=0) is None
    prefill = begun(policy)
    assert prefill.resumes is lost.occupant
    assert prefill.tokens.tolist() == [0, 1, 2]


@pytest.mark.parametrize("stage", ["waiting", "prefilling", "forking", "suspended"])
def test_a_removed_request_is_nowhere(stage: str) -> None:
    one = generation(1, candidates=2)
    policy = scheduler(one)
    if stage != "waiting":
        begun(policy)
    if stage in ("forking", "suspended"):
        one.started = 1
        computed(policy)
    gone = []
    if stage == "suspended":
        gone = [Suspended(occupant(one), kv=None)]
        policy.suspend(gone[0])
    assert policy.held() == [one]
    assert policy.remove(one) == gone
    assert policy.held() == []
    assert policy.idle
