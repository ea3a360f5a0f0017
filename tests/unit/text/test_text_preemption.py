"""A batch request gives way to an interactive one, and goes on as if nothing had been."""

from __future__ import annotations

import pytest
from text_fakes import Driver, FakeDecoder, prepared, solo

from bestiary.schemas.text import Priority

BATCH = Priority.BATCH


@pytest.fixture(params=[10**6, 0], ids=["swapped", "computed again"])
def driver(request: pytest.FixtureRequest) -> Driver:
    return Driver(FakeDecoder(2), prefill_chunk=100, swap_bytes=request.param)


def test_an_urgent_request_does_not_wait_for_batch_work(driver: Driver) -> None:
    work = [prepared((ticket,), max_tokens=30, priority=BATCH) for ticket in range(2)]
    urgent = prepared((9, 9), max_tokens=3)
    for ticket, request in enumerate(work):
        driver.engine.submit(ticket, request)
    driver.step(5)
    driver.engine.submit(9, urgent)
    driver.step(3)
    assert driver.tokens(9) == solo(urgent, driver)
    assert driver.engine.counts().preemptions == 1
    driver.drain()
    for ticket, request in enumerate(work):
        assert driver.tokens(ticket) == solo(request, driver)
    assert driver.errors == {}
    assert driver.engine.holds_nothing


def test_drawn_tokens_are_the_same_after_giving_way(driver: Driver) -> None:
    work = prepared((1, 2), max_tokens=25, priority=BATCH, temperature=1.1, seed=5)
    driver.engine.submit(0, work)
    driver.step(4)
    for ticket in range(1, 4):
        driver.engine.submit(ticket, prepared((ticket, 7), max_tokens=4))
        driver.step(2)
    driver.drain()
    assert driver.tokens(0) == solo(work, driver)


def test_who_is_cancelled_while_away_leaves_nothing(driver: Driver) -> None:
    for ticket in range(2):
        driver.engine.submit(ticket, prepared((ticket,), max_tokens=30, priority=BATCH))
    driver.step(3)
    driver.engine.submit(9, prepared((9,), max_tokens=20))
    driver.step(2)
    for ticket in (0, 1, 9):
        driver.engine.cancel(ticket)
    assert driver.engine.idle
    assert driver.engine.holds_nothing


def test_interactive_requests_never_give_way(driver: Driver) -> None:
    for ticket in range(3):
        driver.engine.submit(ticket, prepared((ticket,), max_tokens=10))
    driver.drain()
    assert driver.engine.counts().preemptions == 0
