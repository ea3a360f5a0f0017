"""The waiting queue is fair between tenants and forgets nobody."""

from __future__ import annotations

import itertools

from text_fakes import LetterTokenizer, prepared

from bestiary.schemas.text import Priority
from deployments.text.generation import Generation
from deployments.text.waiting import REMEMBERED_TENANTS, WaitingRequests

tickets = itertools.count()


def add(queue: WaitingRequests, tenant: str, prompt: int = 10) -> Generation:
    request = prepared(range(prompt), tenant=tenant)
    made = Generation.of(next(tickets), request, LetterTokenizer(), frozenset(), now=0.0)
    queue.add(made, retry_after_s=1.0)
    return made


def order(queue: WaitingRequests) -> list[str]:
    return [queue.pop(Priority.INTERACTIVE).request.tenant for _ in range(len(queue))]


def test_a_tenants_own_requests_stay_in_order() -> None:
    queue = WaitingRequests(10)
    made = [add(queue, "a") for _ in range(3)]
    assert [queue.pop(Priority.INTERACTIVE) for _ in made] == made


def test_a_flood_delays_only_its_sender() -> None:
    queue = WaitingRequests(100)
    for _ in range(6):
        add(queue, "flood")
    add(queue, "single")
    assert order(queue).index("single") <= 1


def test_long_prompts_weigh_more_than_short_ones() -> None:
    queue = WaitingRequests(100)
    for _ in range(2):
        add(queue, "long", prompt=30)
    for _ in range(4):
        add(queue, "short", prompt=10)
    assert order(queue) == ["long", "short", "short", "short", "long", "short"]


def test_generated_tokens_count_too() -> None:
    queue = WaitingRequests(100)
    for tenant in ("talker", "quiet", "talker", "quiet"):
        add(queue, tenant)
    assert queue.pop(Priority.INTERACTIVE).request.tenant == "talker"
    queue.charge("talker", generated_tokens=100)
    assert order(queue) == ["quiet", "quiet", "talker"]


def test_who_was_away_has_saved_nothing_up() -> None:
    queue = WaitingRequests(100)
    add(queue, "old")
    queue.pop(Priority.INTERACTIVE)
    queue.charge("old", generated_tokens=1000)
    for _ in range(3):
        add(queue, "old")
    for _ in range(3):
        add(queue, "new")
    assert order(queue)[:2] in (["old", "new"], ["new", "old"])


def test_a_removed_request_leaves_no_tenant_behind() -> None:
    queue = WaitingRequests(10)
    queue.remove(add(queue, "a"))
    assert not queue.has(Priority.INTERACTIVE)
    queue.remove(add(WaitingRequests(10), "a"))  # one that never was here


def test_tenants_that_are_gone_do_not_fill_the_memory() -> None:
    queue = WaitingRequests(10)
    for number in range(REMEMBERED_TENANTS + 50):
        queue.charge(f"tenant {number}", prompt_tokens=1)
    assert len(queue._served) == REMEMBERED_TENANTS
