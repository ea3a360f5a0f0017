"""One streaming call under way: its chunks, its record, and how it ends.

Knows no policy: the dispatcher has chosen already. Every wait has the call's deadline;
however it ends, the replica's work is stopped and the books are closed once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from bestiary.errors import BestiaryError, DeadlineExceeded
from bestiary.schemas.routing import RouteDecision
from services.router.model_handle import ReplyStream
from services.router.serve_errors import translated

T = TypeVar("T")
Clock = Callable[[], float]  # seconds, monotonic


@dataclass(slots=True)
class CallRecord:
    """Durations in seconds. `call_s` and `first_chunk_s` start when the call is sent."""

    decision: RouteDecision
    routing_s: float  # from the router's entry to sending, earlier attempts included
    call_s: float = 0.0  # to the last chunk so far
    first_chunk_s: float | None = None


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on `clock`."""

    at: float
    clock: Clock

    def timeout(self) -> asyncio.Timeout:
        return asyncio.timeout(self.at - self.clock())


class RoutedCall(AsyncIterator[T]):
    """Iterate it, and `aclose` it in a `finally` (or `async with` it): that frees the slot.

    Raises ReplicaLost, DeadlineExceeded, or whatever the engine raised.
    """

    def __init__(
        self,
        stream: ReplyStream[T],
        record: CallRecord,
        deadline: Deadline,
        sent_at: float,
        on_end: Callable[[BestiaryError | None], None],
    ) -> None:
        self.record = record
        self._stream = stream
        self._deadline = deadline
        self._clock = deadline.clock
        self._sent_at = sent_at
        self._on_end = on_end
        self._open = True
        self._first: T | None = None

    @property
    def decision(self) -> RouteDecision:
        return self.record.decision

    async def start(self) -> None:
        """Waits for the first chunk, so that an early failure is still one that can be retried."""
        try:
            self._first = await self._receive()
        except StopAsyncIteration:
            self._first = None

    def __aiter__(self) -> RoutedCall[T]:
        return self

    async def __anext__(self) -> T:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        if not self._open:
            raise StopAsyncIteration
        return await self._receive()

    async def aclose(self) -> None:
        """Cancels the replica's work where it is not done. May be called again."""
        self._first = None
        if self._open:
            self._stream.cancel()
            self._end(None)

    async def __aenter__(self) -> RoutedCall[T]:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _receive(self) -> T:
        try:
            async with self._deadline.timeout():
                with translated():
                    chunk = await self._stream.__anext__()
        except StopAsyncIteration:
            self._end(None)
            raise
        except TimeoutError:
            late = DeadlineExceeded("the request's deadline passed")
            self._abort(late)
            raise late from None
        except BestiaryError as error:
            self._abort(error)
            raise
        except asyncio.CancelledError:
            await self.aclose()
            raise
        self._note_chunk()
        return chunk

    def _note_chunk(self) -> None:
        self.record.call_s = self._clock() - self._sent_at
        if self.record.first_chunk_s is None:
            self.record.first_chunk_s = self.record.call_s

    def _abort(self, error: BestiaryError) -> None:
        self._stream.cancel()
        self._end(error)

    def _end(self, error: BestiaryError | None) -> None:
        self._open = False
        self._on_end(error)
