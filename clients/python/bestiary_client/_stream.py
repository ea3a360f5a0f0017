"""A text stream, blocking. Its twin is `_async_stream.py`."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from types import TracebackType

import httpx2
from typing_extensions import Self

from bestiary_client._assembly import Assembly
from bestiary_client._errors import StreamBroken
from bestiary_client._exchange import failure_in_reply
from bestiary_client._receipt import LastReceipt, Receipt
from bestiary_client._results import Completion, StreamEnd, StreamEvent, TextDelta
from bestiary_client._timeouts import Budget


class TextStream:
    """Typed events, one by one; use it in a `with`, which frees the platform's work.

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

    def __iter__(self) -> Iterator[StreamEvent]:
        return self

    def __next__(self) -> StreamEvent:
        return next(self._events)

    def texts(self) -> Iterator[str]:
        """The text only, of all candidates as it comes."""
        return (event.text for event in self if isinstance(event, TextDelta))

    def finish(self) -> Completion:
        """Reads to the end, and gives the whole answer, earlier events included."""
        for _ in self:
            pass
        if self._completion is None:
            raise StreamBroken("the stream was closed before its end", self.request_id)
        return self._completion

    def close(self) -> None:
        """Hangs up. May be called again."""
        self._events.close()
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self) -> Generator[StreamEvent, None, None]:
        try:
            for frame in httpx2.EventSource(self._response):
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
            self._response.close()

    def _note(self, event: StreamEvent) -> None:
        if isinstance(event, StreamEnd):
            self._completion = event.completion
            self._last.set(event.completion.receipt)
