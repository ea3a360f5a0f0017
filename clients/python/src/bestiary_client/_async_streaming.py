"""A text stream for asyncio. Its twin is `_streaming.py`; what both know is an `Assembly`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import TypeVar

import httpx2
from typing_extensions import Self

from bestiary_client._assembly import Assembly, StreamSoFar
from bestiary_client._exchange import failure_in_reply
from bestiary_client._frames import FrameReader
from bestiary_client._receipts import LastReceipt
from bestiary_client._results import Completion, StreamEvent, TextDelta
from bestiary_client._timeouts import Budget

E = TypeVar("E")
Opening = Callable[[], "Awaitable[tuple[httpx2.Response, Budget]]"]


class AsyncTextStream(StreamSoFar):
    """As `TextStream`: `async with ... as stream: async for delta in stream:`."""

    def __init__(self, opening: Opening, last: LastReceipt) -> None:
        super().__init__(Assembly())
        # The generator must not know this object: without a cycle, dropping it hangs up at once.
        self._events = read_events(opening, self._assembly, last)

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        async for event in self._events:
            if isinstance(event, TextDelta) and event.index == 0 and event.text:
                return event.text
        raise StopAsyncIteration

    async def events(self) -> AsyncIterator[StreamEvent]:
        """Everything, tool calls too; each event says which choice it is of."""
        async for event in self._events:
            if event is not None:
                yield event

    async def finish(self) -> Completion:
        """Reads to the end, and gives the whole answer, earlier pieces included."""
        async for _ in self._events:
            pass
        self._assembly.check_done()
        return self._assembly.completion()

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


async def read_events(
    opening: Opening, reader: FrameReader[E], last: LastReceipt
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
