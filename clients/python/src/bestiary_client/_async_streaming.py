"""Streams for asyncio, and the one of text. The twin is `_streaming.py`; what both know is in
`_frames.py` and `_assembly.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Generic, TypeVar

import httpx2
from typing_extensions import Self

from bestiary_client._assembly import Assembly, StreamSoFar, text_of_first
from bestiary_client._exchange import failure_in_reply
from bestiary_client._frames import FrameReader
from bestiary_client._receipts import LastReceipt
from bestiary_client._results import Completion, StreamEvent
from bestiary_client._timeouts import Budget

E = TypeVar("E")
W = TypeVar("W")
Opening = Callable[[], "Awaitable[tuple[httpx2.Response, Budget]]"]


class AsyncPieceStream(ABC, Generic[E, W]):
    """As `PieceStream`."""

    def __init__(self, opening: Opening, reader: FrameReader[E, W], last: LastReceipt) -> None:
        self._whole = reader
        # The generator must not know this object: without a cycle, dropping it hangs up at once.
        self._events = read_events(opening, reader, last)

    @abstractmethod
    def _piece(self, event: E) -> str | None:
        """The first answer's text in an event; None where there is none."""

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        async for event in self._events:
            piece = None if event is None else self._piece(event)
            if piece is not None:
                return piece
        raise StopAsyncIteration

    async def events(self) -> AsyncIterator[E]:
        """Everything; each event says which answer it is of."""
        async for event in self._events:
            if event is not None:
                yield event

    async def finish(self) -> W:
        """Reads to the end, and gives the whole answer, earlier pieces included."""
        async for _ in self._events:
            pass
        self._whole.check_done()
        return self._whole.whole()

    async def aclose(self) -> None:
        """Hangs up. May be called again."""
        await self._events.aclose()

    async def __aenter__(self) -> Self:
        await self._events.__anext__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


class AsyncTextStream(StreamSoFar, AsyncPieceStream[StreamEvent, Completion]):
    """As `TextStream`: `async with ... as stream: async for delta in stream:`."""

    def __init__(self, opening: Opening, last: LastReceipt) -> None:
        StreamSoFar.__init__(self, Assembly())
        AsyncPieceStream.__init__(self, opening, self._assembly, last)

    def _piece(self, event: StreamEvent) -> str | None:
        return text_of_first(event)


async def read_events(
    opening: Opening, reader: FrameReader[E, W], last: LastReceipt
) -> AsyncGenerator[E | None, None]:
    """First None, once the platform has answered; then events. Owns the connection."""
    response, budget = await opening()
    try:
        reader.begin(response.headers)
        yield None
        async for frame in httpx2.EventSource(response):
            budget.check(response.headers.get("x-request-id"))
            for event in reader.feed(frame.data):
                yield event
            if reader.done:
                break
        reader.check_done()
        last.set(reader.receipt)
    except httpx2.RequestError as error:
        raise failure_in_reply(error, response.headers.get("x-request-id")) from error
    finally:
        await response.aclose()
