"""Many requests on one engine: hands it jobs, runs its turns in a thread, hands out events.

Knows neither what jobs are nor Ray. All methods run on one event loop; the engine is touched
between turns only, so that it needs no locks. A family's own loop says which events end a job and
how fast the engine is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from bestiary.errors import DeadlineExceeded, EngineFailure, Overloaded
from bestiary.schemas.replica import ReplicaLoad
from deployments.turn_task import TurnTask

LOG = logging.getLogger(__name__)
SPEED_MEMORY = 0.9  # share of the old estimate that a new measurement leaves
SHORTEST_RETRY_S = 0.1


@dataclass(frozen=True, slots=True)
class LoopLimits:
    max_wait_s: float  # how long a turn gathers when nothing runs
    max_requests: int  # waiting and running; over it a request is refused


class Owned(Protocol):
    """A job of one request."""

    @property
    def owner(self) -> object: ...


class Told(Protocol):
    """What a turn did to one job."""

    @property
    def job(self) -> Owned: ...


JobT = TypeVar("JobT", bound=Owned)
TakenT = TypeVar("TakenT", bound=Owned, contravariant=True)
EventT = TypeVar("EventT", bound=Told)


class TurnEngine(Protocol[TakenT, EventT]):
    """Touched by one thread at a time. An owner is the request's ticket."""

    @property
    def idle(self) -> bool: ...

    def submit(self, jobs: Sequence[TakenT]) -> None: ...

    def cancel(self, owner: object) -> None: ...

    def turn(self) -> list[EventT]:
        """Raises whatever a run raises."""
        ...

    def reset(self) -> None:
        """Forgets everybody, after a turn that raised."""
        ...


@dataclass(slots=True, eq=False)
class Ticket(Generic[EventT]):
    """One request."""

    events: asyncio.Queue[list[EventT] | EngineFailure] = field(default_factory=asyncio.Queue)
    started: bool = False


class TurnLoop(TurnTask, Generic[JobT, EventT]):
    """`start` before use, `stop` after. `executor` should have one thread."""

    def __init__(
        self, engine: TurnEngine[JobT, EventT], limits: LoopLimits, executor: Executor, speed: float
    ) -> None:
        """`speed`: a guess at work per second, until something was measured."""
        super().__init__()
        self._turning = engine
        self._limits = limits
        self._executor = executor
        self._speed = speed
        self._tickets: list[Ticket[EventT]] = []
        # With None: cancelled.
        self._inbox: deque[tuple[Ticket[EventT], Sequence[JobT] | None]] = deque()
        self._arrival = asyncio.Event()

    @abstractmethod
    def _ends(self, event: EventT) -> bool:
        """Whether it is its job's last."""

    @abstractmethod
    def _work_left(self) -> float:
        """Before a request that would come now."""

    @abstractmethod
    def _work_done(self, events: Sequence[EventT], left_before: float) -> float | None:
        """By the turn that told the events, in the measure of `_work_left`; None: nobody knows."""

    def _fault(self, event: EventT) -> Exception | None:
        """What ends the whole request."""
        return None

    def admit(self) -> Ticket[EventT]:
        """To be given back by `leave`. Raises Overloaded and EngineFailure."""
        if len(self._tickets) >= self._limits.max_requests:
            wait = max(SHORTEST_RETRY_S, self._expected_wait_s())
            raise Overloaded(f"{len(self._tickets)} requests are waiting", wait)
        if not self.is_alive:
            raise EngineFailure("the engine has stopped")
        ticket = Ticket[EventT]()
        self._tickets.append(ticket)
        return ticket

    def leave(self, ticket: Ticket[EventT]) -> None:
        self._tickets.remove(ticket)

    async def run(
        self, ticket: Ticket[EventT], jobs: Sequence[JobT], until: float | None
    ) -> AsyncGenerator[list[EventT], None]:
        """The events of the jobs, whose owner is the ticket, as they come.

        It ends when each job has ended. Closing it early frees what they hold within a step.
        `until`: the deadline, by `time.perf_counter`. Raises DeadlineExceeded, EngineFailure and
        what ends a request.
        """
        self._tell(ticket, jobs)
        left = len(jobs)
        try:
            while left:
                events = await self._next(ticket, until)
                left -= sum(map(self._ends, events))
                yield events
        finally:
            if left:
                self._tell(ticket, None)

    async def run_admitted(
        self, jobs_of: Callable[[object], Sequence[JobT]], until: float | None
    ) -> AsyncGenerator[list[EventT], None]:
        """`run` of the jobs that `jobs_of(owner)` makes, between `admit` and `leave`. Raises what
        they raise."""
        ticket = self.admit()
        try:
            async with aclosing(self.run(ticket, jobs_of(ticket), until)) as turns:
                async for events in turns:
                    yield events
        finally:
            self.leave(ticket)

    def load(self) -> ReplicaLoad:
        running = sum(ticket.started for ticket in self._tickets)
        return ReplicaLoad(
            running=running,
            waiting=len(self._tickets) - running,
            slots=self._limits.max_requests,
            queue_wait_s=self._expected_wait_s(),
        )

    async def _next(self, ticket: Ticket[EventT], until: float | None) -> list[EventT]:
        rest = None if until is None else until - time.perf_counter()
        try:
            async with asyncio.timeout(rest):
                found = await ticket.events.get()
        except TimeoutError as error:
            raise DeadlineExceeded("the request's deadline passed") from error
        if isinstance(found, EngineFailure):
            raise found
        for event in found:
            fault = self._fault(event)
            if fault is not None:
                raise fault
        return found

    def _tell(self, ticket: Ticket[EventT], jobs: Sequence[JobT] | None) -> None:
        self._inbox.append((ticket, jobs))
        self._arrival.set()

    async def _take_turns(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._gathered()
            self._empty_inbox()
            if self._turning.idle:
                continue
            before, started = self._work_left(), time.perf_counter()
            try:
                events = await loop.run_in_executor(self._executor, self._turning.turn)
            except Exception as error:  # a broken run fails whoever had a part in it
                LOG.exception("a turn failed")
                self._turning.reset()
                self._fail_everyone(EngineFailure(f"the model failed: {error}"))
                continue
            self._measured(self._work_done(events, before), time.perf_counter() - started)
            self._hand_out(events)

    async def _gathered(self) -> None:
        """Returns when there is something to do, after a short wait for company."""
        if not self._turning.idle or self._inbox:
            await asyncio.sleep(0)  # whoever waits for events has to get them
            return
        self._arrival.clear()
        await self._arrival.wait()
        await asyncio.sleep(self._limits.max_wait_s)

    def _empty_inbox(self) -> None:
        while self._inbox:
            ticket, jobs = self._inbox.popleft()
            if jobs is None:
                self._turning.cancel(ticket)
            elif ticket in self._tickets:
                self._turning.submit(jobs)

    def _hand_out(self, events: Sequence[EventT]) -> None:
        by_ticket: dict[int, tuple[Ticket[EventT], list[EventT]]] = {}
        for event in events:
            ticket = event.job.owner
            assert isinstance(ticket, Ticket)
            by_ticket.setdefault(id(ticket), (ticket, []))[1].append(event)
        for ticket, own in by_ticket.values():
            ticket.started = True
            ticket.events.put_nowait(own)

    def _fail_everyone(self, error: EngineFailure) -> None:
        for ticket in self._tickets:
            ticket.events.put_nowait(error)

    def _measured(self, work: float | None, took: float) -> None:
        if work is not None:
            speed = work / max(took, 1e-6)
            self._speed = SPEED_MEMORY * self._speed + (1 - SPEED_MEMORY) * speed

    def _expected_wait_s(self) -> float:
        return self._work_left() / max(self._speed, 1e-6)
