"""A text stream, blocking. Its twin is `_async_streaming.py`; what both know is an `Assembly`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
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
Opening = Callable[[], "tuple[httpx2.Response, Budget]"]


class TextStream(StreamSoFar):
    """The answer's text in pieces, as they come: `with ... as stream: for delta in stream:`.

    The request is sent on entering the `with`, or with the first piece. Leaving early (or
    dropping the stream) closes the connection, and the platform stops generating. Raises
    ApiError where the platform refuses, StreamBroken where it or the connection fails
    midway, TimedOut.
    """

    def __init__(self, opening: Opening, last: LastReceipt) -> None:
        super().__init__(Assembly())
        # The generator must not know this object: without a cycle, dropping it hangs up at once.
        self._events = read_events(opening, self._assembly, last)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for event in self._events:
            if isinstance(event, TextDelta) and event.index == 0 and event.text:
                return event.text
        raise StopIteration

    def events(self) -> Iterator[StreamEvent]:
        """Everything, tool calls too; each event says which choice it is of."""
        return (event for event in self._events if event is not None)

    def finish(self) -> Completion:
        """Reads to the end, and gives the whole answer, earlier pieces included."""
        for _ in self._events:
            pass
        self._assembly.check_done()
        return self._assembly.completion()

    def close(self) -> None:
        """Hangs up. May be called again."""
        self._events.close()

    def __enter__(self) -> Self:
        next(self._events)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_events(
    opening: Opening, reader: FrameReader[E], last: LastReceipt
) -> Generator[E | None, None, None]:
    """First None, once the platform has answered; then events. Owns the connection."""
    response, budget = opening()
    try:
        reader.begin(response.headers)
        yield None
        for frame in httpx2.EventSource(response):
            budget.check(response.headers.get("x-request-id"))
            yield from reader.feed(frame.data)
            if reader.done:
                break
        reader.check_done()
        last.set(reader.receipt)
    except httpx2.RequestError as error:
        raise failure_in_reply(error, response.headers.get("x-request-id")) from error
    finally:
        response.close()
