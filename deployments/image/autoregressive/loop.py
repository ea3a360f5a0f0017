"""Many requests on one engine: hands it jobs, runs its turns in a thread, hands out events.

Knows neither pictures nor Ray. All methods run on one event loop; the engine is touched between
turns only, so that it needs no locks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from bestiary.errors import DeadlineExceeded, EngineFailure, Overloaded
from bestiary.schemas.replica import ReplicaLoad
from deployments.image.autoregressive.engine import AutoregressiveEngine, Event, Job

LOG = logging.getLogger(__name__)
GUESSED_PLACES_PER_S = 500.0  # until something was measured
SPEED_MEMORY = 0.9  # share of the old estimate that a new measurement leaves
SHORTEST_RETRY_S = 0.1


@dataclass(frozen=True, slots=True)
class LoopLimits:
    max_wait_s: float  # how long a turn gathers when nothing runs
    max_requests: int  # waiting and running; over it a request is refused


@dataclass(slots=True, eq=False)
class _Ticket:
    """One request."""

    events: asyncio.Queue[list[Event] | EngineFailure] = field(default_factory=asyncio.Queue)
    started: bool = False


class AutoregressiveLoop:
    """`start` before use, `stop` after. `executor` should have one thread."""

    def __init__(
        self, engine: AutoregressiveEngine, limits: LoopLimits, executor: Executor
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._executor = executor
        self._tickets: list[_Ticket] = []
        self._inbox: deque[tuple[_Ticket, Sequence[Job] | None]] = deque()  # None: cancelled
        self._arrival = asyncio.Event()
        self._places_per_s = GUESSED_PLACES_PER_S
        self._turns: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Needs a running event loop; starting twice is starting once."""
        if self._turns is None:
            self._turns = asyncio.get_running_loop().create_task(self._take_turns())

    async def stop(self) -> None:
        """Fails what is under way."""
        if self._turns is not None:
            self._turns.cancel()
            await asyncio.gather(self._turns, return_exceptions=True)
        self._fail_everyone(EngineFailure("the engine stopped"))

    @property
    def is_alive(self) -> bool:
        return self._turns is None or not self._turns.done()

    async def run(
        self, jobs_of: Callable[[object], Sequence[Job]], until: float | None
    ) -> AsyncGenerator[list[Event], None]:
        """The events of the jobs that `jobs_of(owner)` makes, turn by turn.

        It ends when each job is done. Closing it early frees their rows within a step. `until`:
        the deadline, by `time.perf_counter`. Raises Overloaded, DeadlineExceeded and
        EngineFailure.
        """
        if len(self._tickets) >= self._limits.max_requests:
            wait = max(SHORTEST_RETRY_S, self._expected_wait_s())
            raise Overloaded(f"{len(self._tickets)} requests are under way", wait)
        if not self.is_alive:
            raise EngineFailure("the engine has stopped")
        ticket = _Ticket()
        jobs = jobs_of(ticket)
        self._tickets.append(ticket)
        self._tell(ticket, jobs)
        left = len(jobs)
        try:
            while left:
                events = await _next(ticket, until)
                left -= sum(event.done for event in events)
                yield events
        finally:
            self._tickets.remove(ticket)
            if left:
                self._tell(ticket, None)

    def load(self) -> ReplicaLoad:
        running = sum(ticket.started for ticket in self._tickets)
        return ReplicaLoad(
            running=running,
            waiting=len(self._tickets) - running,
            slots=self._limits.max_requests,
            queue_wait_s=self._expected_wait_s(),
        )

    def _tell(self, ticket: _Ticket, jobs: Sequence[Job] | None) -> None:
        self._inbox.append((ticket, jobs))
        self._arrival.set()

    async def _take_turns(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._gathered()
            self._empty_inbox()
            if self._engine.idle:
                continue
            before, started = self._engine.places_left, time.perf_counter()
            try:
                events = await loop.run_in_executor(self._executor, self._engine.turn)
            except Exception as error:  # a broken run fails whoever had a part in it
                LOG.exception("a turn failed")
                self._engine.reset()
                self._fail_everyone(EngineFailure(f"the model failed: {error}"))
                continue
            self._measured(before - self._engine.places_left, time.perf_counter() - started)
            self._hand_out(events)

    async def _gathered(self) -> None:
        """Returns when there is something to do, after a short wait for company."""
        if not self._engine.idle or self._inbox:
            await asyncio.sleep(0)  # whoever waits for events has to get them
            return
        self._arrival.clear()
        await self._arrival.wait()
        await asyncio.sleep(self._limits.max_wait_s)

    def _empty_inbox(self) -> None:
        while self._inbox:
            ticket, jobs = self._inbox.popleft()
            if jobs is None:
                self._engine.cancel(ticket)
            elif ticket in self._tickets:
                self._engine.submit(jobs)

    def _hand_out(self, events: Sequence[Event]) -> None:
        by_ticket: dict[int, tuple[_Ticket, list[Event]]] = {}
        for event in events:
            ticket = event.job.owner
            assert isinstance(ticket, _Ticket)
            by_ticket.setdefault(id(ticket), (ticket, []))[1].append(event)
        for ticket, own in by_ticket.values():
            ticket.started = True
            ticket.events.put_nowait(own)

    def _fail_everyone(self, error: EngineFailure) -> None:
        for ticket in self._tickets:
            ticket.events.put_nowait(error)

    def _measured(self, places: int, took: float) -> None:
        speed = places / max(took, 1e-6)
        self._places_per_s = SPEED_MEMORY * self._places_per_s + (1 - SPEED_MEMORY) * speed

    def _expected_wait_s(self) -> float:
        return self._engine.places_left / max(self._places_per_s, 1e-6)


async def _next(ticket: _Ticket, until: float | None) -> list[Event]:
    rest = None if until is None else until - time.perf_counter()
    try:
        async with asyncio.timeout(rest):
            found = await ticket.events.get()
    except TimeoutError as error:
        raise DeadlineExceeded("the request's deadline passed") from error
    if isinstance(found, EngineFailure):
        raise found
    for event in found:
        if event.error is not None:
            raise event.error
    return found
