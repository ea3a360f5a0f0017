"""The engine's own thread, and what the event loop says to it and hears from it.

The event loop never waits for the engine: it leaves submissions and cancellations
in an inbox that the thread empties between two steps, and every step's chunks come
back in one `call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

from bestiary.errors import (
    BestiaryError,
    DeadlineExceeded,
    EngineFailure,
    Overloaded,
    Unavailable,
)
from bestiary.schemas.replica import ReplicaLoad, TextCounts
from bestiary.schemas.text import TextChunk
from deployments.text.engine import Engine, StepResult
from deployments.text.generation import Ticket
from deployments.text.mailbox import Mailbox
from deployments.text.prepared import PreparedRequest

T = TypeVar("T")

log = logging.getLogger(__name__)

STUCK_AFTER_S = 60.0  # a step takes milliseconds; the longest prompt chunk about a second
CLOSING_S = 10.0
# The engine ends overdue requests itself; the reader stops waiting this much later.
DEADLINE_GRACE_S = 5.0


class EngineLoop:
    """Made and used on one event loop; `close` ends the thread."""

    def __init__(
        self,
        engine: Engine,
        max_waiting: int,
        stuck_after_s: float = STUCK_AFTER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._max_waiting = max_waiting
        self._stuck_after_s = stuck_after_s
        self._clock = clock
        self._events = asyncio.get_running_loop()
        self._tickets = itertools.count()
        self._mailboxes: dict[Ticket, Mailbox] = {}  # event loop's thread only
        self._inbox: deque[tuple[Ticket, PreparedRequest | None]] = deque()  # None: cancel
        self._news = threading.Event()
        self._closing = False
        self._fault: BaseException | None = None
        self._step_began_s: float | None = None
        self._load = engine.load()
        self._counts = engine.counts()
        self._thread = threading.Thread(target=self._run, name="text-engine", daemon=True)
        self._thread.start()

    async def generate(
        self, request: PreparedRequest
    ) -> AsyncGenerator[tuple[TextChunk, ...], None]:
        """The chunks as they come, all that are ready at once.

        Raises Overloaded, DeadlineExceeded, EngineFailure, Unavailable. A reader that
        goes away early must close this generator; the request's rows are free within
        one step.
        """
        try:
            self._refuse_over_bound()
        except BestiaryError:
            request.release()
            raise
        ticket = next(self._tickets)
        mailbox = self._mailboxes[ticket] = Mailbox()
        late = DeadlineExceeded("the engine did not answer before the request's deadline")
        patience_s = max(0.0, request.deadline_s - self._clock()) + DEADLINE_GRACE_S
        watchdog = self._events.call_later(patience_s, mailbox.fail, late)
        self._tell(ticket, request)
        over = False
        try:
            while not over:
                chunks = await mailbox.take()
                over = chunks[-1].timings is not None
                yield chunks
        finally:
            watchdog.cancel()
            del self._mailboxes[ticket]
            if not over:
                self._tell(ticket, None)

    def load(self) -> ReplicaLoad:
        """As of the last step."""
        return self._load

    def counts(self) -> TextCounts:
        """As of the last step."""
        return self._counts

    def check(self) -> None:
        """Raises Unavailable where the thread is dead or a step does not end."""
        if not self._thread.is_alive():
            raise Unavailable(f"the engine's thread is dead: {self._fault!r}")
        began_s = self._step_began_s
        if began_s is not None and self._clock() - began_s > self._stuck_after_s:
            raise Unavailable(f"a step has been running for {self._clock() - began_s:.0f} s")

    async def close(self) -> None:
        """Ends the thread after its step; whoever still reads gets Unavailable."""
        self._closing = True
        self._news.set()
        await asyncio.to_thread(self._thread.join, CLOSING_S)
        self._fail_everyone(Unavailable("the replica is shutting down"))

    def _refuse_over_bound(self) -> None:
        if self._closing or not self._thread.is_alive():
            raise Unavailable("the engine is not running")
        load = self._load
        # The inbox holds cancellations too: that errs on the safe side, for one step.
        if load.waiting + len(self._inbox) >= self._max_waiting:
            message = f"{self._max_waiting} requests are waiting already"
            raise Overloaded(message, max(1.0, load.queue_wait_s))

    def _tell(self, ticket: Ticket, request: PreparedRequest | None) -> None:
        self._inbox.append((ticket, request))
        self._news.set()

    def _run(self) -> None:
        """The thread. It ends on `close`, and on a fault of the engine itself."""
        try:
            while not self._closing:
                self._turn()
        except BaseException as fault:  # the thread's edge: health checks tell it
            log.exception("the engine's thread ends")
            self._fault = fault
            self._hand_over(self._fail_everyone, EngineFailure("the engine has stopped"))

    def _turn(self) -> None:
        if self._engine.idle and not self._inbox:
            self._news.wait()  # ended by a submission and by `close`
        self._news.clear()
        refused = self._empty_inbox()
        self._step_began_s = self._clock()
        result = self._engine.step()
        self._step_began_s = None
        result.errors.update(refused)
        self._load = self._engine.load()
        self._counts = self._engine.counts()
        if result.chunks or result.errors:
            self._hand_over(self._deliver, result)

    def _empty_inbox(self) -> dict[Ticket, BestiaryError]:
        """Requests that the engine refused, and why."""
        refused: dict[Ticket, BestiaryError] = {}
        while self._inbox:
            ticket, request = self._inbox.popleft()
            if request is None:
                self._engine.cancel(ticket)
                continue
            try:
                self._engine.submit(ticket, request)
            except BestiaryError as error:
                request.release()
                refused[ticket] = error
            except Exception as error:  # as the engine does in a step: no memory, a bad library
                log.exception("a request could not be taken in")
                request.release()
                refused[ticket] = EngineFailure(f"taking it in failed: {type(error).__name__}")
        return refused

    def _hand_over(self, receive: Callable[[T], None], what: T) -> None:
        self._events.call_soon_threadsafe(receive, what)

    def _deliver(self, result: StepResult) -> None:
        """On the event loop. Readers that have gone have no mailbox any more."""
        for ticket, chunks in result.chunks.items():
            if ticket in self._mailboxes:
                self._mailboxes[ticket].post(chunks)
        for ticket, error in result.errors.items():
            if ticket in self._mailboxes:
                self._mailboxes[ticket].fail(error)

    def _fail_everyone(self, error: BestiaryError) -> None:
        for mailbox in self._mailboxes.values():
            mailbox.fail(error)
