"""Ten thousand requests leave nothing behind: no row, no block over the bound, no memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from small_engine import END_ID, Run, opened, small_llama
from text_fakes import prepared
from text_tokenizers import compiler_for

from bestiary.schemas.text import Constraint, ConstraintKind, Priority
from deployments.text.constraints import GrammarCompiler
from deployments.text.engine import EngineOptions
from deployments.text.generation import Generation
from deployments.text.grammars import alone, grammar_of
from deployments.text.prefix_cache import BLOCK
from deployments.text.prepared import PreparedRequest
from deployments.text.rows import Occupant
from deployments.text.sequence import Sequence

from small_engine import TOKENIZER  # isort: skip

SLOTS = 8
MOST_WAITING = 24
KV_BYTES = 4 * 2 * 16 * 4  # of a token: keys and values of two layers, two heads of 16 floats
CACHE_BYTES = 40 * BLOCK * KV_BYTES  # full long before the first measurement
SWAP_BYTES = 100 * KV_BYTES  # one or two rows: others are computed again
# Half a kilobyte for each of 9,000 requests: less than the smallest thing that the engine keeps
# of a request (its tokens, its n-grams, a block of KV: 16 KB, a copy of the logits: 1 KB). What
# the allocator's arenas come and go by between two looks was measured to be under 2 MB.
GROWTH_BYTES = 9000 * 512

WORDS = Constraint(kind=ConstraintKind.REGEX, source=r"[a-c]{2,6}( [d-f]{1,4})?")
SHARED = [token * 11 % 250 for token in range(3 * BLOCK)]


def requests(count: int, grammars: GrammarCompiler) -> Iterator[PreparedRequest]:
    """Every kind in every hundred: short and long, shared and new, drawn, ruled, in several."""
    numbers = np.random.default_rng(5)
    words = alone(grammar_of(WORDS))
    for number in range(count):
        own = numbers.integers(0, 250, int(numbers.choice([1, 3, 20, 90]))).tolist()
        shared = SHARED[: int(numbers.choice([0, 0, 2 * BLOCK, 3 * BLOCK]))]
        request = prepared(
            [*shared, *own],
            max_tokens=int(numbers.choice([1, 2, 5, 12])),
            seed=number,
            candidates=3 if number % 17 == 0 else 1,
            priority=Priority.BATCH if number % 3 == 0 else Priority.INTERACTIVE,
            tenant=f"tenant {number}",  # every one is new
            temperature=1.0 if number % 2 else 0.0,
            frequency_penalty=0.5 if number % 5 == 0 else 0.0,
            logprobs=2 if number % 13 == 0 else None,
            stop=["zq"] if number % 4 == 0 else [],
        )
        if number % 13 == 0:
            request = replace(request, spells=TOKENIZER)
        if number % 7 == 0:
            grammar = grammars.compile(words, "grammar", request.candidates)
            request = replace(request, grammar=grammar)
        yield request


def resident_bytes() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def alive() -> int:
    """What the engine makes of requests, and still holds."""
    gc.collect()
    kinds = (Generation, Sequence, Occupant)
    return sum(type(one) in kinds for one in gc.get_objects())


def serve(run: Run, arriving: Iterator[PreparedRequest], first: int) -> int:
    """All of them, a few at a time, every ninth given up soon after it came; the next ticket."""
    ticket = first
    for request in arriving:
        run.engine.submit(ticket, request)
        if ticket % 9 == 0:
            run.engine.cancel(ticket - ticket % 5)
        ticket += 1
        while run.engine.load().waiting >= MOST_WAITING - 1:
            step(run)
        if ticket % 3 == 0:
            step(run)
    while not run.engine.idle:
        step(run)
    return ticket


def step(run: Run) -> None:
    run.step()
    run.chunks.clear()
    assert run.engine._prefixes.bytes <= CACHE_BYTES


def assert_nothing_is_left(run: Run, before: int) -> None:
    assert run.errors == {}
    assert run.engine.holds_nothing
    load = run.engine.load()
    assert (load.running, load.waiting, load.kv_cache_usage) == (0, 0, 0.0)
    assert alive() == before
    for ticket in range(SLOTS):  # every row can be had again, at once
        run.engine.submit(ticket, prepared([ticket, 7], max_tokens=40))
    for _ in range(SLOTS):
        run.step()
    assert run.engine.load().running == SLOTS
    assert len(run.engine._rows) == SLOTS
    for ticket in range(SLOTS):
        run.engine.cancel(ticket)
    assert run.engine.holds_nothing


def grown(folder: Path, warm: int, count: int) -> int:
    """Bytes that the process grew by from the `warm`-th request to the `count`-th."""
    options = EngineOptions(
        prefill_chunk=64,
        max_waiting=MOST_WAITING,
        prefix_cache_bytes=CACHE_BYTES,
        swap_bytes=SWAP_BYTES,
        speculate=4,
    )
    before = alive()
    run = Run(opened(small_llama(), folder, SLOTS), options)
    grammars = compiler_for(TOKENIZER)
    arriving = requests(count, grammars)
    ticket = serve(run, (next(arriving) for _ in range(warm)), first=1)
    assert run.engine._prefixes.counts.evicted > 0  # it is full
    start = resident_bytes()
    serve(run, arriving, first=ticket)
    growth = resident_bytes() - start
    counts = run.engine.counts()
    assert counts.prefix_cache_hits > 0
    assert counts.preemptions > 0
    assert_nothing_is_left(run, before)
    return growth


def test_five_hundred_requests_leave_nothing_behind(tmp_path: Path) -> None:
    assert END_ID < 300
    assert grown(tmp_path, warm=250, count=500) < GROWTH_BYTES


@pytest.mark.slow
def test_ten_thousand_requests_leave_nothing_behind(tmp_path: Path) -> None:
    assert grown(tmp_path, warm=1000, count=10_000) < GROWTH_BYTES
