"""Requests for different adapters share a step, and nothing else."""

from __future__ import annotations

import pytest
from text_fakes import Driver, FakeDecoder, FakeLease, prepared, solo

from bestiary.errors import Overloaded

SHARED = tuple(token % 50 for token in range(80))


def test_a_batch_of_adapters_and_the_base_equals_each_alone() -> None:
    driver = Driver(FakeDecoder(4, 200), prefix_cache_bytes=10**6, speculate=4)
    requests = [
        prepared((*SHARED, 1, 2), max_tokens=12, adapter=FakeLease(slot) if slot else None)
        for slot in (0, 1, 2, 1)
    ]
    for ticket, request in enumerate(requests):
        driver.engine.submit(ticket, request)
    driver.drain()
    said = [driver.tokens(ticket) for ticket in range(4)]
    assert said == [solo(request, driver) for request in requests]
    assert said[1] == said[3]
    assert len({tuple(one) for one in said}) == 3


def test_a_prefix_is_shared_within_an_adapter_only() -> None:
    driver = Driver(FakeDecoder(1, 200), prefix_cache_bytes=10**6)
    cached = []
    for ticket, slot in enumerate((0, 1, 2, 1, 0)):
        lease = FakeLease(slot) if slot else None
        driver.engine.submit(ticket, prepared((*SHARED, 1, 2), max_tokens=2, adapter=lease))
        driver.drain()
        usage = driver.chunks[ticket][-1].usage
        assert usage is not None
        cached.append(usage.cached_tokens)
    assert cached == [0, 0, 0, 64, 64]


@pytest.mark.parametrize("end", ["finished", "cancelled", "failed"])
def test_the_slot_is_given_back_when_the_request_is_over(end: str) -> None:
    driver = Driver(FakeDecoder(1))
    lease = FakeLease(1)
    driver.engine.submit(0, prepared((1, 2), max_tokens=6, adapter=lease))
    driver.step(2)
    assert lease.releases == 0
    if end == "cancelled":
        driver.engine.cancel(0)
    if end == "failed":
        driver.clock.now = float("inf")
    driver.drain()
    assert lease.releases == 1


def test_a_refused_request_does_not_give_the_slot_back_itself() -> None:
    """Whoever submits it does: the engine never had it."""
    driver = Driver(FakeDecoder(1), max_waiting=0)
    lease = FakeLease(1)
    with pytest.raises(Overloaded):
        driver.engine.submit(0, prepared(adapter=lease))
    assert lease.releases == 0
