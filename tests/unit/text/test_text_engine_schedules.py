"""Any schedule of joins, leaves, cancels and chunk sizes: each row is as if it were alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import hypothesis.strategies as st
from hypothesis import given, settings
from text_fakes import (
    CarefulDrafter,
    Driver,
    FakeDecoder,
    GuessingWell,
    Oracle,
    prepared,
    solo,
)

from bestiary.schemas.text import Priority, Sampling
from deployments.text.prepared import PreparedRequest
from deployments.text.speculation import Drafter

VOCABULARY = 30
CONTEXT = 120
SHARED = [token * 7 % 30 for token in range(70)]  # what prompts may begin with

samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.7, 1.5]),
    top_k=st.sampled_from([0, 3]),
    top_p=st.sampled_from([1.0, 0.8]),
    repetition_penalty=st.sampled_from([1.0, 1.3]),
    frequency_penalty=st.sampled_from([0.0, 0.5]),
    stop=st.sampled_from([(), ("b",), ("cd", "ca")]),
)


@st.composite
def requests(draw: st.DrawFn) -> PreparedRequest:
    own = draw(st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=20))
    prompt = [*SHARED[: draw(st.sampled_from([0, 0, 40, 70]))], *own]
    made = prepared(
        prompt,
        max_tokens=draw(st.integers(1, min(30, CONTEXT - len(prompt)))),
        seed=draw(st.integers(0, 5)),
        candidates=draw(st.sampled_from([1, 1, 1, 2, 5])),
        priority=draw(st.sampled_from(Priority)),
        tenant=draw(st.sampled_from(["a", "b"])),
    )
    return replace(made, sampling=draw(samplings))


@dataclass(frozen=True)
class SmallModel:
    """A drafter with a pool of its own, which may have fewer rows, and shorter ones."""

    slots: int
    max_length: int
    read_most: int


small_models = st.builds(
    SmallModel, st.integers(1, 5), st.sampled_from([10, CONTEXT]), st.sampled_from([1, 7, 100])
)


def drafter_of(guesser: int | SmallModel | None, decoder: FakeDecoder) -> Drafter | None:
    """A number: an oracle that is wrong from there on."""
    if isinstance(guesser, SmallModel):
        small = GuessingWell(guesser.slots, guesser.max_length, VOCABULARY)
        return CarefulDrafter(small, VOCABULARY, guesser.read_most)
    return None if guesser is None else Oracle(decoder, wrong_at=guesser)


# One event: steps to run first, the request that then arrives, who is cancelled then.
events = st.tuples(st.integers(0, 6), requests(), st.none() | st.integers(0, 10))


@settings(max_examples=50, deadline=None)
@given(
    schedule=st.lists(events, min_size=1, max_size=10),
    slots=st.integers(1, 5),
    prefill_chunk=st.integers(1, 40),
    swap_bytes=st.sampled_from([0, 500, 10**6]),
    prefix_cache_bytes=st.sampled_from([0, 1000, 10**6]),
    speculate=st.sampled_from([0, 1, 5]),
    guesser=st.none() | st.integers(0, 4) | small_models,
)
def test_every_request_says_what_it_says_alone(
    schedule: list[tuple[int, PreparedRequest, int | None]],
    slots: int,
    prefill_chunk: int,
    swap_bytes: int,
    prefix_cache_bytes: int,
    speculate: int,
    guesser: int | SmallModel | None,
) -> None:
    decoder = FakeDecoder(slots, CONTEXT, VOCABULARY)
    driver = Driver(
        decoder,
        prefill_chunk,
        end_ids=frozenset({29}),
        swap_bytes=swap_bytes,
        prefix_cache_bytes=prefix_cache_bytes,
        speculate=speculate,
        drafter=drafter_of(guesser, decoder),
    )
    cancelled = set()
    for ticket, (steps, request, victim) in enumerate(schedule):
        driver.step(steps)
        driver.engine.submit(ticket, request)
        if victim is not None and victim < ticket:
            driver.engine.cancel(victim)
            cancelled.add(victim)
    driver.drain()

    assert driver.errors == {}
    assert driver.engine.holds_nothing
    for ticket, (_, request, _) in enumerate(schedule):
        for candidate in range(request.candidates):
            said = driver.tokens(ticket, candidate)
            alone = solo(request, driver, candidate)
            assert said == (alone[: len(said)] if ticket in cancelled else alone)


@settings(max_examples=30, deadline=None)
@given(schedule=st.lists(events, min_size=1, max_size=8), slots=st.integers(1, 4))
def test_every_row_comes_back(
    schedule: list[tuple[int, PreparedRequest, int | None]], slots: int
) -> None:
    driver = Driver(FakeDecoder(slots, CONTEXT, VOCABULARY), prefill_chunk=3)
    for ticket, (steps, request, victim) in enumerate(schedule):
        driver.step(steps)
        driver.engine.submit(ticket, request)
        if victim is not None:
            driver.engine.cancel(victim)
    driver.drain()

    load = driver.engine.load()
    assert (load.running, load.waiting, load.kv_cache_usage) == (0, 0, 0.0)
    assert driver.engine.holds_nothing
    driver.decoder.runs.clear()
    for ticket in range(slots):
        driver.engine.submit(100 + ticket, prepared(max_tokens=slots + 2))
    driver.step(slots + 1)
    assert driver.decoder.runs[-1] == (0, slots, 1)
