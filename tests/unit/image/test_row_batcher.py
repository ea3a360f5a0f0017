"""How rows of many requests share runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bestiary.errors import EngineFailure, Overloaded
from deployments.image.row_batcher import RowBatcher, RowLimits

Start = Callable[..., RowBatcher]


class Doubler:
    """Twice what is given; remembers the shapes of its runs. -1 breaks it."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, tuple[int, ...]]] = []

    def run(self, part: str, given: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        (values,) = given.values()
        self.runs.append((part, values.shape))
        if (values == -1).any():
            raise RuntimeError("a number it does not like")
        return (values * 2,)


@pytest.fixture
def doubler() -> Doubler:
    return Doubler()


@pytest.fixture
async def start(doubler: Doubler) -> AsyncIterator[Start]:
    started: list[RowBatcher] = []
    executor = ThreadPoolExecutor(1)

    def one(**limits: float) -> RowBatcher:
        fields = {"max_rows": 4, "max_wait_s": 0.01, "max_requests": 8} | limits
        batcher = RowBatcher(doubler, RowLimits(**fields), executor)  # type: ignore[arg-type]
        batcher.start()
        started.append(batcher)
        return batcher

    yield one
    for batcher in started:
        await batcher.stop()


def rows(count: int, width: int = 2, value: float = 1) -> list[dict[str, np.ndarray]]:
    return [{"x": np.full(width, value + i, np.float32)} for i in range(count)]


async def ask(batcher: RowBatcher, given: list[dict[str, np.ndarray]], part: str = "a"):
    with batcher.admitted() as guest:
        return await batcher.run(guest, part, given, None)


async def test_requests_share_runs_and_get_their_own_answers(start, doubler):
    batcher = start()
    first, second = await asyncio.gather(ask(batcher, rows(1)), ask(batcher, rows(3, value=5)))
    assert [one.outputs[0].tolist() for one in first] == [[2, 2]]
    assert [one.outputs[0].tolist() for one in second] == [[10, 10], [12, 12], [14, 14]]
    assert doubler.runs == [("a", (4, 2))]
    assert (batcher.counts.runs, batcher.counts.rows) == (1, 4)


async def test_other_parts_and_shapes_run_apart(start, doubler):
    batcher = start(max_rows=16)
    await asyncio.gather(
        *(ask(batcher, rows(2, width), part) for width in (2, 3) for part in ("a", "b"))
    )
    assert sorted(doubler.runs) == [("a", (2, 2)), ("a", (2, 3)), ("b", (2, 2)), ("b", (2, 3))]


async def test_many_rows_do_not_hold_up_a_single_one(start, doubler):
    batcher = start()
    many = asyncio.create_task(ask(batcher, rows(40)))
    await asyncio.sleep(0)
    await ask(batcher, rows(1))
    assert len(doubler.runs) <= 2
    await many
    assert len(doubler.runs) == 11


async def test_the_numbers_of_one_run_are_bounded(start, doubler):
    batcher = start(max_values=5)
    await ask(batcher, rows(5))
    await ask(batcher, rows(1, width=9))  # a row alone may have more
    assert [shape for _, shape in doubler.runs] == [(2, 2), (2, 2), (1, 2), (1, 9)]


async def test_a_broken_run_fails_its_own_requests_only(start):
    batcher = start(max_rows=1)
    broken, sound = await asyncio.gather(
        ask(batcher, rows(3, value=-1)), ask(batcher, rows(3)), return_exceptions=True
    )
    assert isinstance(broken, EngineFailure)
    assert len(sound) == 3
    assert batcher.is_alive


async def test_guests_are_counted_until_they_leave(start):
    batcher = start(max_requests=1)
    with batcher.admitted():
        with pytest.raises(Overloaded):
            await ask(batcher, rows(1))
        assert (batcher.load().running, batcher.load().waiting) == (0, 1)
    assert len(await ask(batcher, rows(1))) == 1


async def test_stopping_fails_what_waits(start):
    batcher = start()
    waiting = asyncio.create_task(ask(batcher, rows(1000)))
    await asyncio.sleep(0.001)
    await batcher.stop()
    with pytest.raises(EngineFailure):
        await waiting
