"""Rows of many requests through one model's networks: those of like shape and part run together.

For networks that are done in one run: encoders, decoders, generators, discriminators. Turns are
taken by parts and shapes; in a turn each waiting request gives a row at a time, so that one with
many does not hold up one with few. Knows neither pictures nor Ray. All methods run on one event
loop; the networks run in `executor`, which should have one thread.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import DeadlineExceeded, EngineFailure, Overloaded
from bestiary.schemas.replica import ReplicaLoad
from deployments.turn_task import TurnTask

LOG = logging.getLogger(__name__)
Array = NDArray[np.generic]
Floats = NDArray[np.float32]
Row = Mapping[str, Array]  # what a part takes, without the batch axis
Kind = tuple[object, ...]  # a part, and the shapes that it is given

GUESSED_S = 0.02  # of a row, until something was measured
SPEED_MEMORY = 0.8  # share of the old estimate that a new measurement leaves
SHORTEST_RETRY_S = 0.1
NO_BOUND = 2**62


class Runs(Protocol):
    def run(self, part: str, given: Mapping[str, Array]) -> tuple[Floats, ...]: ...


@dataclass(frozen=True, slots=True)
class RowLimits:
    max_rows: int  # of one run
    max_wait_s: float  # how long a turn gathers when nothing runs
    max_requests: int  # under way at once; over it a request is refused
    max_values: int = NO_BOUND  # numbers that go into one run, but for a run of one row


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one row: what the part gave, without the batch axis, and what that cost."""

    index: int
    outputs: tuple[Floats, ...]
    seconds: float  # this row's share of its run


@dataclass(frozen=True, slots=True)
class RowCounts:
    runs: int = 0
    rows: int = 0


@dataclass(slots=True, eq=False)
class Guest:
    """A request that was admitted; `run_s` of its time was spent in runs."""

    run_s: float = 0.0
    is_running: bool = False


@dataclass(slots=True, eq=False)
class _Ticket:
    """Some rows of a request for one part."""

    guest: Guest
    part: str
    kind: Kind
    rows: Sequence[Row]
    waiting: deque[int]
    answers: asyncio.Queue[list[Answer] | EngineFailure] = field(default_factory=asyncio.Queue)


class RowBatcher(TurnTask):
    def __init__(self, networks: Runs, limits: RowLimits, executor: Executor) -> None:
        super().__init__()
        self.counts = RowCounts()
        self._networks = networks
        self._limits = limits
        self._executor = executor
        self._guests: list[Guest] = []
        self._tickets: deque[_Ticket] = deque()
        self._arrival = asyncio.Event()
        self._row_s: dict[str, float] = {}
        self._turn = 0
        self._last_turn_of: dict[Kind, int] = {}

    @contextmanager
    def admitted(self) -> Iterator[Guest]:
        """A place for a request, from its beginning to its end. Raises Overloaded."""
        if len(self._guests) >= self._limits.max_requests:
            raise Overloaded(
                f"{len(self._guests)} requests are under way",
                max(SHORTEST_RETRY_S, self._expected_wait_s()),
            )
        guest = Guest()
        self._guests.append(guest)
        try:
            yield guest
        finally:
            self._guests.remove(guest)

    async def stream(
        self, guest: Guest, part: str, rows: Sequence[Row], until: float | None
    ) -> AsyncGenerator[Answer, None]:
        """One answer for each row, as they come; all rows have the same shapes.

        Closing it early withdraws the rows that have not begun. `until`: the deadline, by
        `time.perf_counter`. Raises DeadlineExceeded and EngineFailure.
        """
        if not self.is_alive:
            raise EngineFailure("the engine has stopped")
        ticket = _Ticket(guest, part, _kind_of(part, rows[0]), rows, deque(range(len(rows))))
        self._tickets.append(ticket)
        self._arrival.set()
        left = len(rows)
        try:
            while left:
                for answer in await _next(ticket, until):
                    left -= 1
                    yield answer
        finally:
            ticket.waiting.clear()
            self._tickets.remove(ticket)

    async def run(
        self, guest: Guest, part: str, rows: Sequence[Row], until: float | None
    ) -> list[Answer]:
        """All answers, in the order of the rows."""
        found = [answer async for answer in self.stream(guest, part, rows, until)]
        return sorted(found, key=lambda answer: answer.index)

    def load(self) -> ReplicaLoad:
        running = sum(guest.is_running for guest in self._guests)
        return ReplicaLoad(
            running=running,
            waiting=len(self._guests) - running,
            slots=self._limits.max_requests,
            queue_wait_s=self._expected_wait_s(),
        )

    def _fail_everyone(self, error: EngineFailure) -> None:
        for ticket in self._tickets:
            ticket.answers.put_nowait(error)

    async def _take_turns(self) -> None:
        while True:
            await self._gathered()
            taken = self._take()
            if taken:
                await self._run(taken)

    async def _gathered(self) -> None:
        """Returns when there is something to run, after a short wait for company."""
        if self._waiting_rows():
            await asyncio.sleep(0)  # whoever waits for answers has to get them
            return  # what came during the last turn has waited long enough
        self._arrival.clear()
        await self._arrival.wait()
        until = time.perf_counter() + self._limits.max_wait_s
        while self._waiting_rows() < self._limits.max_rows:
            self._arrival.clear()
            try:
                async with asyncio.timeout(max(0.0, until - time.perf_counter())):
                    await self._arrival.wait()
            except TimeoutError:
                return

    def _take(self) -> list[tuple[_Ticket, int]]:
        """A row of each waiting request of one kind in turn, until the run is full."""
        kind = self._next_kind()
        rotation = deque(one for one in self._tickets if one.waiting and one.kind == kind)
        taken: list[tuple[_Ticket, int]] = []
        most = self._limits.max_rows
        if rotation:
            values = sum(value.size for value in rotation[0].rows[0].values())
            most = min(most, max(1, self._limits.max_values // max(1, values)))
        while rotation and len(taken) < most:
            ticket = rotation.popleft()
            taken.append((ticket, ticket.waiting.popleft()))
            if ticket.waiting:
                rotation.append(ticket)
        return taken

    def _next_kind(self) -> Kind | None:
        """Of those that are waited for, the one whose last turn is the longest ago."""
        waiting = dict.fromkeys(ticket.kind for ticket in self._tickets if ticket.waiting)
        kind = min(waiting, key=lambda one: self._last_turn_of.get(one, 0), default=None)
        self._turn += 1
        # Only of those that are waited for: shapes are many.
        self._last_turn_of = {one: self._last_turn_of.get(one, 0) for one in waiting}
        if kind is not None:
            self._last_turn_of[kind] = self._turn
        return kind

    async def _run(self, taken: list[tuple[_Ticket, int]]) -> None:
        part = taken[0][0].part
        rows = [ticket.rows[index] for ticket, index in taken]
        tickets = dict.fromkeys(ticket for ticket, _ in taken)
        for ticket in tickets:
            ticket.guest.is_running = True
        started = time.perf_counter()
        try:
            outputs = await asyncio.get_running_loop().run_in_executor(
                self._executor, self._computed, part, rows
            )
        except Exception as error:  # a broken run fails its own requests only
            LOG.exception("a run of %s failed", part)
            for ticket in tickets:
                ticket.waiting.clear()
                ticket.answers.put_nowait(EngineFailure(f"the model failed: {error}"))
            return
        finally:
            took = time.perf_counter() - started
            for ticket in tickets:
                ticket.guest.is_running = False
                ticket.guest.run_s += took
        self.counts = RowCounts(self.counts.runs + 1, self.counts.rows + len(rows))
        self._measured(part, took / len(rows))
        for ticket in tickets:
            own = [
                Answer(index, outputs[place], took / len(rows))
                for place, (of, index) in enumerate(taken)
                if of is ticket
            ]
            ticket.answers.put_nowait(own)

    def _computed(self, part: str, rows: Sequence[Row]) -> list[tuple[Floats, ...]]:
        given = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        outputs = self._networks.run(part, given)
        # Copies: a row that is kept must not keep its whole run.
        return [tuple(one[place].copy() for one in outputs) for place in range(len(rows))]

    def _measured(self, part: str, row_s: float) -> None:
        old = self._row_s.get(part, row_s)
        self._row_s[part] = SPEED_MEMORY * old + (1 - SPEED_MEMORY) * row_s

    def _waiting_rows(self) -> int:
        return sum(len(ticket.waiting) for ticket in self._tickets)

    def _expected_wait_s(self) -> float:
        return math.fsum(
            len(ticket.waiting) * self._row_s.get(ticket.part, GUESSED_S)
            for ticket in self._tickets
        )


async def _next(ticket: _Ticket, until: float | None) -> list[Answer]:
    rest = None if until is None else until - time.perf_counter()
    try:
        async with asyncio.timeout(rest):
            found = await ticket.answers.get()
    except TimeoutError as error:
        raise DeadlineExceeded("the request's deadline passed") from error
    if isinstance(found, EngineFailure):
        raise found
    return found


def _kind_of(part: str, row: Row) -> Kind:
    return (part, *(value.shape for value in row.values()))
