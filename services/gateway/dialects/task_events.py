"""The native wire of tasks that answer piece by piece, as server-sent events
(https://html.spec.whatwg.org/#server-sent-events). What a piece says is its task's affair."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Generic, TypeVar

import orjson

from bestiary.garden.tasks import Task
from services.gateway.error_mapping import OpenAIErrors, PublicError
from services.gateway.receipts import with_field

Json = dict[str, object]
PieceT = TypeVar("PieceT")

_DONE = b"data: [DONE]\n\n"
_ERRORS = OpenAIErrors()


class TaskEvents(ABC, Generic[PieceT]):
    """A `FrameWriter`."""

    media_type = "text/event-stream"

    def __init__(self, request_id: str, task: Task, model: str, *, include_receipt: bool) -> None:
        self._include_receipt = include_receipt
        self._head = {"id": request_id, "object": f"{task.value}.chunk", "model": model}

    @abstractmethod
    def _said(self, index: int, piece: PieceT) -> Json:
        """The fields of one piece."""

    @abstractmethod
    def _usage(self) -> Mapping[str, object]:
        """Of the whole answer."""

    def begin(self) -> bytes:
        return b""

    def write(self, index: int, piece: PieceT, /) -> bytes:
        return _event(self._document(self._said(index, piece)))

    def end(self, receipt: bytes) -> bytes:
        last = self._document({"usage": self._usage()})
        if self._include_receipt:
            last = with_field(last, receipt)
        return b"".join((_event(last), b": bestiary-receipt ", receipt, b"\n\n", _DONE))

    def fail(self, error: PublicError) -> bytes:
        return _event(_ERRORS.body(error))

    def _document(self, more: Mapping[str, object]) -> bytes:
        return orjson.dumps({**self._head, **more}, option=orjson.OPT_SERIALIZE_NUMPY)


def _event(document: bytes) -> bytes:
    return b"".join((b"data: ", document, b"\n\n"))
