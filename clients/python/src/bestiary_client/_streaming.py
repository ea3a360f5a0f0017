"""Streams, blocking, and the one of text. The twin is `_async_streaming.py`; what both know is in
`_frames.py` and `_assembly.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
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
Opening = Callable[[], "tuple[httpx2.Response, Budget]"]


class PieceStream(ABC, Generic[E, W]):
    """Iterating gives the first answer's text; `events()` everything of all."""

    def __init__(self, opening: Opening, reader: FrameReader[E, W], last: LastReceipt) -> None:
        self._whole = reader
        # The generator must not know this object: without a cycle, dropping it hangs up at once.
        self._events = read_events(opening, reader, last)

    @abstractmethod
    def _piece(self, event: E) -> str | None:
        """The first answer's text in an event; None where there is none."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for event in self._events:
            piece = None if event is None else self._piece(event)
            if piece is not None:
                return piece
        raise StopIteration

    def events(self) -> Iterator[E]:
        """Everything; each event says which answer it is of."""
        return (event for event in self._events if event is not None)

    def finish(self) -> W:
        """Reads to the end, and gives the whole answer, earlier pieces included."""
        for _ in self._events:
            pass
        self._whole.check_done()
        return self._whole.whole()

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


class TextStream(StreamSoFar, PieceStream[StreamEvent, Completion]):
    """The answer's text in pieces, as they come: `with ... as stream: for delta in stream:`.

    The request is sent on entering the `with`, or with the first piece. Leaving early (or
    dropping the stream) closes the connection, and the platform stops generating. Raises
    ApiError where the platform refuses, StreamBroken where it or the connection fails
    midway, TimedOut.
    """

    def __init__(self, opening: Opening, last: LastReceipt) -> None:
        StreamSoFar.__init__(self, Assembly())
        PieceStream.__init__(self, opening, self._assembly, last)

    def _piece(self, event: StreamEvent) -> str | None:
        return text_of_first(event)


def read_events(
    opening: Opening, reader: FrameReader[E, W], last: LastReceipt
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
