"""The line for adapters' slots: who comes when more adapters are asked for than there are slots.

Adapters stand in it in the order in which they were asked for, each with everyone who asked
for it meanwhile: one load serves them all. An adapter that is in a slot already needs no other
one, so its requests pass the line; but nobody passes an adapter that has stood in it for longer
than `PATIENCE_S`, else a few busy ones could keep a quiet one out for ever.

Lives on one event loop. Knows no tokens and no engine; `AdapterBank` knows the slots.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from bestiary.errors import (
    BestiaryError,
    DeadlineExceeded,
    EngineFailure,
    Overloaded,
    Unavailable,
)
from bestiary.schemas.text import Adapter
from deployments.kernels.adapters import RETRY_AFTER_S, AdapterBank, Lease

PATIENCE_S = 1.0  # a slot is empty for a moment only, so each such drain is paid for in rows

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Place:
    """One adapter in the line, and who wants it."""

    adapter: Adapter
    since_s: float
    wanted: list[asyncio.Future[Lease]] = field(default_factory=list)


class AdapterLine:
    """`most_waiting` requests wait at once; `clock` is the one that deadlines are on."""

    def __init__(
        self,
        bank: AdapterBank,
        most_waiting: int,
        clock: Callable[[], float] = time.monotonic,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._bank = bank
        self._most_waiting = most_waiting
        self._clock = clock
        self._patience_s = patience_s
        self._places: OrderedDict[str, _Place] = OrderedDict()  # first come, first served
        self._moved = asyncio.Event()  # there may be room, or the first place was given up
        self._serving: asyncio.Task[None] | None = None
        self._closed = False
        self._events = asyncio.get_running_loop()
        bank.when_room(self._there_is_room)

    @property
    def waiting(self) -> int:
        """Requests that have no slot yet."""
        return sum(len(place.wanted) for place in self._places.values())

    async def lease(self, adapter: Adapter, deadline_s: float) -> Lease:
        """The adapter's slot, as soon as it is there and it is the adapter's turn.

        Whoever is cancelled gives the place up. Raises DeadlineExceeded, Overloaded where too
        many wait already, KernelError for an adapter that the model cannot take, EngineFailure
        where loading breaks down, Unavailable once the line is closed.
        """
        if self._closed:
            raise Unavailable("the replica is shutting down")
        if not self._someone_is_impatient():
            found = self._bank.lease_resident(adapter.name)
            if found is not None:
                return found
        if self.waiting >= self._most_waiting:
            message = f"{self._most_waiting} requests are waiting for an adapter's slot already"
            raise Overloaded(message, RETRY_AFTER_S)
        return await self._wait(adapter, deadline_s)

    async def close(self) -> None:
        """Whoever waits gets Unavailable. A load that is under way is let end."""
        self._closed = True
        self._bank.when_room(None)
        self._moved.set()
        if self._serving is not None:
            await self._serving

    def _there_is_room(self) -> None:
        """In any thread."""
        self._events.call_soon_threadsafe(self._moved.set)

    def _someone_is_impatient(self) -> bool:
        first = next(iter(self._places.values()), None)
        return first is not None and self._clock() - first.since_s >= self._patience_s

    async def _wait(self, adapter: Adapter, deadline_s: float) -> Lease:
        wanted: asyncio.Future[Lease] = self._events.create_future()
        place = self._places.setdefault(adapter.name, _Place(adapter, self._clock()))
        place.wanted.append(wanted)
        if self._serving is None:
            self._serving = asyncio.create_task(self._serve())
        try:
            async with asyncio.timeout(deadline_s - self._clock()):
                return await wanted
        except TimeoutError:
            _give_back(wanted)
            message = "the request's deadline passed while it waited for its adapter's slot"
            raise DeadlineExceeded(message) from None
        except asyncio.CancelledError:
            _give_back(wanted)
            raise
        finally:
            self._leave(place, wanted)

    def _leave(self, place: _Place, wanted: asyncio.Future[Lease]) -> None:
        """Served or not; a place that nobody wants any more is no place."""
        if wanted in place.wanted:
            place.wanted.remove(wanted)
        if not place.wanted and self._places.get(place.adapter.name) is place:
            del self._places[place.adapter.name]
            self._moved.set()

    async def _serve(self) -> None:
        """One adapter after the other, until nobody waits: the bank loads one at a time."""
        try:
            while self._places:
                self._moved.clear()
                place = next(iter(self._places.values()))
                if self._closed:
                    self._refuse(place, Unavailable("the replica is shutting down"))
                elif not await self._served(place):
                    await self._moved.wait()
        finally:
            self._serving = None

    async def _served(self, place: _Place) -> bool:
        """False where there is no slot for it now."""
        adapter = place.adapter
        try:
            lease = await asyncio.to_thread(self._bank.lease, adapter.name, adapter.folder)
        except Overloaded:
            return False
        except BestiaryError as error:  # the adapter's own: it says what is wrong
            self._refuse(place, error)
        except Exception as error:  # of many kinds: the disk's, the device's, no memory
            log.exception("loading the adapter %s failed", adapter.name)
            failure = EngineFailure(f"loading the adapter failed: {type(error).__name__}")
            self._refuse(place, failure)
        else:
            with lease:  # meanwhile everyone else who wanted it gets a lease of their own
                self._grant(place)
        return True

    def _grant(self, place: _Place) -> None:
        for wanted in self._taken_out(place):
            lease = self._bank.lease_resident(place.adapter.name)
            assert lease is not None, "the adapter is leased, so it is in its slot"
            wanted.set_result(lease)

    def _refuse(self, place: _Place, error: BestiaryError) -> None:
        for wanted in self._taken_out(place):
            wanted.set_exception(error)

    def _taken_out(self, place: _Place) -> list[asyncio.Future[Lease]]:
        """Those who still want it; its place in the line is over."""
        if self._places.get(place.adapter.name) is place:
            del self._places[place.adapter.name]
        wanted, place.wanted = place.wanted, []
        return [one for one in wanted if not one.done()]


def _give_back(wanted: asyncio.Future[Lease]) -> None:
    """It was granted in the very moment in which whoever wanted it went away."""
    if wanted.done() and not wanted.cancelled() and wanted.exception() is None:
        wanted.result().release()
