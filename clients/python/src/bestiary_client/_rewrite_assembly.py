"""A rewriting stream's frames -> events, and the whole results out of them. Does no I/O.

A rewriting is a summary or a translation; a stream may have those of several inputs, mixed.
"""

from __future__ import annotations

from collections.abc import Iterator

from bestiary_client._errors import UnexpectedReply
from bestiary_client._frames import FrameReader, StreamFacts
from bestiary_client._json import JsonObject, get
from bestiary_client._task_replies import rewriting_of
from bestiary_client._task_results import (
    Results,
    RewriteDelta,
    RewriteEnd,
    RewriteEvent,
    Rewriting,
)


class RewriteAssembly(FrameReader[RewriteEvent, Results[Rewriting]]):
    """Of the native wire: each frame is a piece of one input's text, or tells the usage."""

    def __init__(self) -> None:
        super().__init__()
        self._texts: dict[int, list[str]] = {}
        self._ended: dict[int, Rewriting] = {}

    def read(self, frame: JsonObject) -> Iterator[RewriteEvent]:
        if "index" not in frame:
            return
        piece = RewriteDelta(get(frame, "index", int), get(frame, "text", str))
        self._texts.setdefault(piece.index, []).append(piece.text)
        if piece.text:
            yield piece
        if frame.get("finish_reason") is not None:
            ended = rewriting_of(frame, self.text(piece.index))
            self._ended[piece.index] = ended
            yield RewriteEnd(piece.index, ended)

    def text(self, index: int = 0) -> str:
        return "".join(self._texts.get(index, ()))

    def rewriting(self, index: int = 0) -> Rewriting | None:
        """None before its end."""
        return self._ended.get(index)

    def whole(self) -> Results[Rewriting]:
        """Raises UnexpectedReply where an input was begun and never ended."""
        if not self._ended or self._texts.keys() != self._ended.keys():
            raise UnexpectedReply("the stream left a text without its end")
        return Results(
            model=self.model,
            items=tuple(ended for _, ended in sorted(self._ended.items())),
            usage=self.usage,
            request_id=self.headers.get("x-request-id"),
            receipt=self.receipt,
        )


def text_of_first(event: RewriteEvent) -> str | None:
    """The first input's text in an event; None where there is none."""
    return event.text if isinstance(event, RewriteDelta) and event.index == 0 else None


class RewriteSoFar(StreamFacts):
    """What a stream, sync or async, tells of itself; of the first input where there are more."""

    def __init__(self, assembly: RewriteAssembly) -> None:
        super().__init__(assembly)
        self._assembly = assembly

    @property
    def text(self) -> str:
        """What has come so far."""
        return self._assembly.text()

    @property
    def rewriting(self) -> Rewriting | None:
        """None before its end."""
        return self._assembly.rewriting()
