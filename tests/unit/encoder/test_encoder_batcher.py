"""Many requests on one engine: gathering, fairness, heads, bounds, deadlines, failures."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import pytest_asyncio

from bestiary.errors import DeadlineExceeded, EngineFailure, Overloaded
from deployments.encoder.batcher import Answered, Batcher, BatcherLimits
from deployments.encoder.heads import Head, TextOutput
from deployments.kernels.encoder_names import Output
from deployments.kernels.encoder_session import EncoderText

Ids = tuple[int, ...]
MEAN, CLS = TextOutput(Output.MEAN), TextOutput(Output.CLS)
POISON = 666
LIMITS = BatcherLimits(max_batch_tokens=8, max_wait_s=0.02, max_requests=4)


class FakeEngine:
    """Answers each input with its first id and its length; can be held back."""

    def __init__(self) -> None:
        self.runs: list[list[Ids]] = []
        self.heads: list[Head[object]] = []
        self.entered = threading.Event()
        self.may_run = threading.Event()
        self.may_run.set()

    def run(self, head: Head[object], texts: Sequence[EncoderText]) -> list[tuple[int, int]]:
        inputs = [text.ids for text in texts]
        self.runs.append([tuple(ids) for ids in inputs])
        self.heads.append(head)
        self.entered.set()
        assert self.may_run.wait(timeout=10)
        if any(ids[0] == POISON for ids in inputs):
            raise RuntimeError("boom")
        return [(ids[0], len(ids)) for ids in inputs]


def asking(
    batcher: Batcher,
    inputs: Sequence[Ids],
    head: TextOutput = MEAN,
    deadline_s: float | None = None,
) -> Coroutine[object, object, Answered[object]]:
    return batcher.run(head, [EncoderText(ids) for ids in inputs], deadline_s)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest_asyncio.fixture
async def batcher(engine: FakeEngine) -> AsyncIterator[Batcher]:
    with ThreadPoolExecutor(1) as executor:
        batcher = Batcher(engine.run, LIMITS, executor)
        batcher.start()
        yield batcher
        engine.may_run.set()
        await batcher.stop()


async def _first_run(engine: FakeEngine) -> None:
    """Waits until the engine is inside a run."""
    assert await asyncio.to_thread(engine.entered.wait, 5)


async def test_answers_come_in_the_order_of_the_inputs(batcher: Batcher) -> None:
    found = await asking(batcher, [(1,), (2, 2, 2), (3, 3)])
    assert found.answers == [(1, 1), (2, 3), (3, 2)]


async def test_requests_that_come_together_share_a_run(
    batcher: Batcher, engine: FakeEngine
) -> None:
    await asyncio.gather(asking(batcher, [(1,)]), asking(batcher, [(2,)]), asking(batcher, [(3,)]))
    assert [len(run) for run in engine.runs] == [3]


async def test_a_full_batch_does_not_wait_for_more(engine: FakeEngine) -> None:
    patient = BatcherLimits(max_batch_tokens=8, max_wait_s=30, max_requests=4)
    with ThreadPoolExecutor(1) as executor:
        batcher = Batcher(engine.run, patient, executor)
        batcher.start()
        async with asyncio.timeout(5):
            await asking(batcher, [(1,) * 8])
        await batcher.stop()


async def test_a_large_request_does_not_hold_up_a_small_one(
    batcher: Batcher, engine: FakeEngine
) -> None:
    engine.may_run.clear()
    large = asyncio.create_task(asking(batcher, [(index, index) for index in range(100)]))
    await _first_run(engine)
    small = asyncio.create_task(asking(batcher, [(7,)]))
    await asyncio.sleep(0)
    engine.may_run.set()
    await small
    assert not large.done()
    assert (7,) in engine.runs[1]
    assert len((await large).answers) == 100


async def test_only_inputs_of_one_head_share_a_run(batcher: Batcher, engine: FakeEngine) -> None:
    await asyncio.gather(
        asking(batcher, [(1,)]), asking(batcher, [(2,)], CLS), asking(batcher, [(3,)])
    )
    assert engine.runs == [[(1,), (3,)], [(2,)]]
    assert engine.heads == [MEAN, CLS]


async def test_a_large_request_does_not_hold_up_another_head(
    batcher: Batcher, engine: FakeEngine
) -> None:
    engine.may_run.clear()
    large = asyncio.create_task(asking(batcher, [(index, index) for index in range(100)]))
    await _first_run(engine)
    small = asyncio.create_task(asking(batcher, [(7,)], CLS))
    await asyncio.sleep(0)
    engine.may_run.set()
    await small
    assert not large.done()
    assert engine.heads[1] == CLS
    await large


async def test_an_input_over_the_budget_still_runs(batcher: Batcher) -> None:
    found = await asking(batcher, [(1,) * 50])
    assert found.answers == [(1, 50)]


async def test_over_the_bound_a_request_is_refused_with_a_time_to_retry(
    batcher: Batcher, engine: FakeEngine
) -> None:
    engine.may_run.clear()
    waiting = [asyncio.create_task(asking(batcher, [(1,)])) for _ in range(LIMITS.max_requests)]
    await _first_run(engine)
    with pytest.raises(Overloaded) as refused:
        await asking(batcher, [(1,)])
    assert refused.value.retry_after_s > 0
    engine.may_run.set()
    await asyncio.gather(*waiting)


async def test_a_deadline_ends_the_wait_and_frees_the_place(
    batcher: Batcher, engine: FakeEngine
) -> None:
    engine.may_run.clear()
    first = asyncio.create_task(asking(batcher, [(1,)]))
    await _first_run(engine)
    with pytest.raises(DeadlineExceeded):
        await asking(batcher, [(2,)], deadline_s=0.01)
    assert batcher.load().waiting == 0
    engine.may_run.set()
    await first
    assert len(engine.runs) == 1


async def test_a_cancelled_request_never_runs(batcher: Batcher, engine: FakeEngine) -> None:
    engine.may_run.clear()
    first = asyncio.create_task(asking(batcher, [(1,)]))
    await _first_run(engine)
    second = asyncio.create_task(asking(batcher, [(2,)]))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    engine.may_run.set()
    await first
    await asking(batcher, [(3,)])
    assert (2,) not in [ids for run in engine.runs for ids in run]


async def test_a_broken_run_fails_its_own_requests_only(
    batcher: Batcher, engine: FakeEngine
) -> None:
    with pytest.raises(EngineFailure, match="boom"):
        await asking(batcher, [(POISON,)])
    found = await asking(batcher, [(1,)])
    assert found.answers == [(1, 1)]
    assert batcher.is_alive


async def test_times_are_measured(batcher: Batcher, engine: FakeEngine) -> None:
    engine.may_run.clear()
    first = asyncio.create_task(asking(batcher, [(1,)]))
    await _first_run(engine)
    second = asyncio.create_task(asking(batcher, [(2,)]))
    await asyncio.sleep(0.05)
    engine.may_run.set()
    assert (await first).run_s >= 0.05
    assert (await second).queue_s >= 0.05
    assert (await second).run_s < 0.05


async def test_the_load_counts_running_and_waiting(batcher: Batcher, engine: FakeEngine) -> None:
    engine.may_run.clear()
    first = asyncio.create_task(asking(batcher, [(1,)]))
    await _first_run(engine)
    second = asyncio.create_task(asking(batcher, [(2,)]))
    await asyncio.sleep(0)
    load = batcher.load()
    assert (load.running, load.waiting, load.slots) == (1, 1, LIMITS.max_requests)
    assert load.queue_wait_s > 0
    engine.may_run.set()
    await asyncio.gather(first, second)
    assert (batcher.load().running, batcher.load().waiting) == (0, 0)


async def test_stopping_fails_what_waits(batcher: Batcher, engine: FakeEngine) -> None:
    engine.may_run.clear()
    request = asyncio.create_task(asking(batcher, [(1,)]))
    await _first_run(engine)
    await batcher.stop()
    with pytest.raises(EngineFailure, match="stopped"):
        await request
    assert not batcher.is_alive
