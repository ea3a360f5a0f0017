"""A stream's data frames -> typed events, and the whole completion at the end. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bestiary_client._errors import StreamBroken
from bestiary_client._json import JsonObject, get, get_objects, get_optional, parse_object
from bestiary_client._receipt import Receipt, receipt_of
from bestiary_client._replies import error_told, usage
from bestiary_client._results import (
    Candidate,
    CandidateEnd,
    Completion,
    StreamEnd,
    StreamEvent,
    TextDelta,
    Usage,
)

DONE = "[DONE]"


class Assembly:
    """Feed it the `data` of each server-sent event in order, then `finish`."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers
        self._texts: dict[int, list[str]] = {}
        self._finished: dict[int, str] = {}
        self._usage: Usage | None = None
        self._receipt: Receipt | None = None
        self._id = self._model = ""
        self.done = False

    @property
    def request_id(self) -> str | None:
        return self._headers.get("x-request-id")

    def feed(self, data: str) -> Iterator[StreamEvent]:
        """Raises ApiError where the platform failed in the middle of the stream."""
        if data == DONE:
            self.done = True
            yield StreamEnd(self._completion())
            return
        frame = parse_object(data)
        failure = frame.get("error")
        if isinstance(failure, dict):
            raise error_told(failure, None, self._headers)
        self._note(frame)
        for choice in get_objects(frame, "choices"):
            yield from self._choice(choice)

    def check_done(self) -> None:
        """Raises StreamBroken where the connection ended before the stream did."""
        if not self.done:
            raise StreamBroken("the stream ended before its end", self.request_id)

    def _note(self, frame: JsonObject) -> None:
        self._id = get(frame, "id", str)
        self._model = get(frame, "model", str)
        self._usage = usage(frame) or self._usage
        if "bestiary" in frame:
            self._receipt = receipt_of(frame, self._headers)

    def _choice(self, choice: JsonObject) -> Iterator[StreamEvent]:
        index = get(choice, "index", int)
        delta = get_optional(choice, "delta", dict)
        text = get_optional(choice if delta is None else delta, _field(delta), str)
        if text:
            self._texts.setdefault(index, []).append(text)
            yield TextDelta(index, text)
        reason = get_optional(choice, "finish_reason", str)
        if reason is not None:
            self._finished[index] = reason
            yield CandidateEnd(index, reason)

    def _completion(self) -> Completion:
        return Completion(
            id=self._id,
            model=self._model,
            candidates=tuple(self._candidates()),
            usage=self._usage,
            request_id=self.request_id,
            receipt=self._receipt,
        )

    def _candidates(self) -> Iterator[Candidate]:
        for index in sorted({0, *self._texts, *self._finished}):
            text = "".join(self._texts.get(index, ()))
            yield Candidate(index, text, self._finished.get(index))


def _field(delta: JsonObject | None) -> str:
    """Chat puts its text into a delta, completions do not."""
    return "text" if delta is None else "content"
