"""What every stream has in common: its data frames, their end, a failure, and what it tells.

Does no I/O, and does not know what is in a frame: see `_assembly.py`, `_rewrite_assembly.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from bestiary_client._errors import StreamBroken
from bestiary_client._json import JsonObject, get, parse_object
from bestiary_client._receipts import LatencyReceipt, receipt_of
from bestiary_client._replies import error_told, usage
from bestiary_client._results import Usage

DONE = "[DONE]"
E_co = TypeVar("E_co", covariant=True)  # an event
W_co = TypeVar("W_co", covariant=True)  # the whole answer


class FrameReader(ABC, Generic[E_co, W_co]):
    """`begin` with the reply's headers, then `feed` the data of each server-sent event."""

    def __init__(self) -> None:
        self.headers: Mapping[str, str] = {}
        self.usage: Usage | None = None
        self.receipt: LatencyReceipt | None = None
        self.done = False
        self.id = self.model = ""

    @abstractmethod
    def read(self, frame: JsonObject) -> Iterator[E_co]:
        """The events of one frame."""

    @abstractmethod
    def whole(self) -> W_co:
        """All that was told, at the end. Raises UnexpectedReply where it is not all."""

    def begin(self, headers: Mapping[str, str]) -> None:
        self.headers = headers

    def feed(self, data: str) -> Iterator[E_co]:
        """Raises StreamBroken where the platform failed in the middle of the stream."""
        if data == DONE:
            self.done = True
            return
        frame = parse_object(data)
        failure = frame.get("error")
        if isinstance(failure, dict):
            cause = error_told(failure, None, self.headers)
            told = f"the platform failed midway: {cause.message}"
            raise StreamBroken(told, cause.request_id, cause.code) from cause
        self._note(frame)
        yield from self.read(frame)

    def check_done(self) -> None:
        """Raises StreamBroken where nothing more comes though the stream is not at its end."""
        if not self.done:
            told = "the stream ended before its end"
            raise StreamBroken(told, self.headers.get("x-request-id"))

    def _note(self, frame: JsonObject) -> None:
        self.id = get(frame, "id", str)
        self.model = get(frame, "model", str)
        self.usage = usage(frame) or self.usage
        if "bestiary" in frame:
            self.receipt = receipt_of(frame, self.headers)


class StreamFacts:
    """What a stream, sync or async, tells of itself beside its text."""

    def __init__(self, reader: FrameReader[object, object]) -> None:
        self._reader = reader

    @property
    def usage(self) -> Usage | None:
        """None before the end."""
        return self._reader.usage

    @property
    def receipt(self) -> LatencyReceipt | None:
        """None before the end."""
        return self._reader.receipt

    @property
    def model(self) -> str | None:
        """The one that answers; None before it does, as all below."""
        return self._reader.headers.get("x-bestiary-model")

    @property
    def tier(self) -> str | None:
        return self._reader.headers.get("x-bestiary-tier")

    @property
    def route_reason(self) -> str | None:
        return self._reader.headers.get("x-bestiary-route-reason")

    @property
    def request_id(self) -> str | None:
        return self._reader.headers.get("x-request-id")
