"""The engine in its thread, heard from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest
from text_fakes import Driver, FakeDecoder, LetterTokenizer, prepared, solo

from bestiary.errors import DeadlineExceeded, EngineFailure, Overloaded, Unavailable
from bestiary.schemas.text import TextChunk
from deployments.text.engine import Engine, EngineOptions
from deployments.text.loop import EngineLoop
from deployments.text.prepared import PreparedRequest

MAX_WAITING = 3


@pytest.fixture
def decoder() -> FakeDecoder:
    return FakeDecoder(slots=2)


@pytest.fixture
async def loop(decoder: FakeDecoder) -> AsyncIterator[EngineLoop]:
    options = EngineOptions(prefill_chunk=4, max_waiting=MAX_WAITING)
    engine = Engine(decoder, LetterTokenizer(), frozenset(), options)
    made = EngineLoop(engine, MAX_WAITING, stuck_after_s=0.2)
    yield made
    decoder.open.set()
    await made.close()


async def read(loop: EngineLoop, request: PreparedRequest) -> list[TextChunk]:
    return [chunk async for chunks in loop.generate(request) for chunk in chunks]


def tokens(chunks: list[TextChunk]) -> list[int]:
    return [one for chunk in chunks for one in chunk.token_ids]


async def until(condition: Callable[[], object]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise TimeoutError


async def test_readers_get_what_they_would_get_alone(loop: EngineLoop) -> None:
    requests = [prepared((number, 2), max_tokens=15) for number in range(3)]
    said = await asyncio.gather(*(read(loop, request) for request in requests))
    like = Driver(FakeDecoder())
    assert [tokens(one) for one in said] == [solo(request, like) for request in requests]


async def test_a_slow_reader_gets_everything_that_is_ready_at_once(loop: EngineLoop) -> None:
    stream = loop.generate(prepared(max_tokens=20))
    first = await anext(stream)
    await until(lambda: loop.load().running == 0)
    await asyncio.sleep(0.05)  # the last step's chunks are on their way
    rest = [chunks async for chunks in stream]
    assert len(rest) <= 1
    assert len(tokens([chunk for chunks in (first, *rest) for chunk in chunks])) == 20


async def test_a_reader_that_closes_frees_the_row(loop: EngineLoop, decoder: FakeDecoder) -> None:
    async with aclosing(loop.generate(prepared(max_tokens=60))) as stream:
        await anext(stream)
        decoder.open.clear()
    decoder.open.set()
    await until(lambda: loop.load().running == 0)
    assert loop.load().kv_cache_usage == 0


async def test_a_cancelled_reader_frees_the_row(loop: EngineLoop, decoder: FakeDecoder) -> None:
    decoder.open.clear()
    reader = asyncio.create_task(read(loop, prepared(max_tokens=60)))
    await until(lambda: decoder.runs)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    runs = len(decoder.runs)
    decoder.open.set()
    await until(lambda: loop.load().running == 0)
    assert len(decoder.runs) <= runs + 1  # the step that was under way, no other


async def test_over_the_bound_is_refused_at_once(loop: EngineLoop, decoder: FakeDecoder) -> None:
    decoder.open.clear()
    readers = [asyncio.create_task(read(loop, prepared(max_tokens=2)))]
    await until(lambda: decoder.runs)
    readers += [asyncio.create_task(read(loop, prepared(max_tokens=2))) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as caught:
        await read(loop, prepared())
    assert caught.value.retry_after_s >= 1
    decoder.open.set()
    assert [len(tokens(one)) for one in await asyncio.gather(*readers)] == [2] * 4


async def test_a_fault_reaches_its_reader_alone(loop: EngineLoop, decoder: FakeDecoder) -> None:
    decoder.failing.add((9, 9))
    good, bad = await asyncio.gather(
        read(loop, prepared((1,))), read(loop, prepared((9, 9))), return_exceptions=True
    )
    assert isinstance(bad, EngineFailure)
    assert isinstance(good, list)
    loop.check()


async def test_a_deadline_passes_on_the_engines_clock(loop: EngineLoop) -> None:
    with pytest.raises(DeadlineExceeded):
        await read(loop, prepared(deadline_s=0.0))


async def test_a_stuck_step_fails_the_health_check(loop: EngineLoop, decoder: FakeDecoder) -> None:
    loop.check()
    decoder.open.clear()
    reader = asyncio.create_task(read(loop, prepared(max_tokens=1)))
    await until(lambda: decoder.runs)
    await asyncio.sleep(0.25)
    with pytest.raises(Unavailable, match="a step has been running"):
        loop.check()
    decoder.open.set()
    await reader
    loop.check()


async def test_an_engine_that_breaks_fails_its_readers_and_the_health_check() -> None:
    class Broken(Engine):
        def step(self) -> object:  # type: ignore[override]  # it never returns
            raise RuntimeError("not a request's fault")

    decoder = FakeDecoder()
    loop = EngineLoop(Broken(decoder, LetterTokenizer(), (), EngineOptions(4, 4)), MAX_WAITING)
    with pytest.raises(EngineFailure):
        await read(loop, prepared())
    await until(lambda: not loop._thread.is_alive())
    with pytest.raises(Unavailable, match="not a request's fault"):
        loop.check()
    with pytest.raises(Unavailable):
        await read(loop, prepared())


async def test_closing_ends_those_who_still_read(loop: EngineLoop, decoder: FakeDecoder) -> None:
    decoder.open.clear()
    reader = asyncio.create_task(read(loop, prepared(max_tokens=60)))
    await until(lambda: decoder.runs)
    closing = asyncio.create_task(loop.close())
    await asyncio.sleep(0)
    decoder.open.set()
    await closing
    with pytest.raises(Unavailable):
        await reader


async def test_an_idle_engine_takes_no_steps(loop: EngineLoop, decoder: FakeDecoder) -> None:
    await read(loop, prepared(max_tokens=2))
    engine = loop._engine
    steps = 0
    step = engine.step

    def counted() -> object:
        nonlocal steps
        steps += 1
        return step()

    engine.step = counted  # type: ignore[method-assign, assignment]  # counts, nothing else
    await asyncio.sleep(0.1)
    assert steps <= 1
