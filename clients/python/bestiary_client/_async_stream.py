"""A text stream for asyncio. Its twin is `_stream.py`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType

import httpx2
from typing_extensions import Self

from bestiary_client._assembly import Assembly
from bestiary_client._errors import StreamBroken
from bestiary_client._exchange import failure_in_reply
from bestiary_client._receipt import LastReceipt, Receipt
from bestiary_client._results import Completion, StreamEnd, StreamEvent, TextDelta
from bestiary_client._timeouts import Budget


class AsyncTextStream:
    """Typed events, one by one; use it in an `async with`, which frees the platform's work.

    Leaving early closes the connection, and the platform stops generating. The last event
    is a `StreamEnd`. Raises ApiError where the platform fails midway, StreamBroken where
    the connection does, TimedOut.
    """

    def __init__(self, response: httpx2.Response, budget: Budget, last: LastReceipt) -> None:
        self._response = response
        self._budget = budget
        self._last = last
        self._completion: Completion | None = None
        self._assembly = Assembly(response.headers)
        self._events = self._read()

    @property
    def request_id(self) -> str | None:
        return self._assembly.request_id

    @property
    def receipt(self) -> Receipt | None:
        """There after the last event."""
        return self._completion.receipt if self._completion else None

    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        return self

    async def __anext__(self) -> StreamEvent:
        return await self._events.__anext__()

    async def texts(self) -> AsyncIterator[str]:
        """The text only, of all candidates as it comes."""
        async for event in self:
            if isinstance(event, TextDelta):
                yield event.text

    async def finish(self) -> Completion:
        """Reads to the end, and gives the whole answer, earlier events included."""
        async for _ in self:
            pass
        if self._completion is None:
            raise StreamBroken("the stream was closed before its end", self.request_id)
        return self._completion

    async def aclose(self) -> None:
        """Hangs up. May be called again."""
        await self._events.aclose()
        await self._response.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _read(self) -> AsyncGenerator[StreamEvent, None]:
        try:
            async for frame in httpx2.EventSource(self._response):
                self._budget.check(self.request_id)
                for event in self._assembly.feed(frame.data):
                    self._note(event)
                    yield event
                if self._assembly.done:
                    return
            self._assembly.check_done()
        except httpx2.RequestError as error:
            raise failure_in_reply(error, self.request_id) from error
        finally:
            await self._response.aclose()

    def _note(self, event: StreamEvent) -> None:
        if isinstance(event, StreamEnd):
            self._completion = event.completion
            self._last.set(event.completion.receipt)
