"""A stream's data frames -> typed events, and the whole completion out of them. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterator

from bestiary_client._frames import FrameReader, StreamFacts
from bestiary_client._json import JsonObject, get, get_objects, get_optional
from bestiary_client._logprobs import logprobs
from bestiary_client._replies import completion_of
from bestiary_client._results import (
    Choice,
    ChoiceEnd,
    Completion,
    StreamEvent,
    TextDelta,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
)


class Assembly(FrameReader[StreamEvent, Completion]):
    """Of the OpenAI wire: each frame has choices."""

    def __init__(self) -> None:
        super().__init__()
        self._choices: dict[int, _ChoiceSoFar] = {}

    def read(self, frame: JsonObject) -> Iterator[StreamEvent]:
        for choice in get_objects(frame, "choices"):
            yield from self._choice(choice)

    def text(self, index: int = 0) -> str:
        return self._so_far(index).text

    def finish_reason(self, index: int = 0) -> str | None:
        return self._so_far(index).finish_reason

    def tool_calls(self, index: int = 0) -> tuple[ToolCall, ...]:
        return self._so_far(index).tool_calls

    def whole(self) -> Completion:
        indices = sorted({0, *self._choices})
        return completion_of(
            self.id,
            self.model,
            tuple(self._so_far(index).choice(index) for index in indices),
            self.usage,
            self.receipt,
            self.headers,
        )

    def _choice(self, choice: JsonObject) -> Iterator[StreamEvent]:
        """Chat puts its text into a delta, completions do not."""
        index = get(choice, "index", int)
        so_far = self._choices.setdefault(index, _ChoiceSoFar())
        delta = get_optional(choice, "delta", dict)
        text = (
            get_optional(choice, "text", str)
            if delta is None
            else get_optional(delta, "content", str)
        )
        scored = logprobs(choice)
        if text or scored:
            piece = TextDelta(index, text or "", scored or ())
            so_far.take_text(piece)
            yield piece
        if delta is not None and delta.get("tool_calls") is not None:
            for record in get_objects(delta, "tool_calls"):
                call = _tool_call_delta(index, record)
                so_far.take_call(call)
                yield call
        reason = get_optional(choice, "finish_reason", str)
        if reason is not None:
            so_far.finish_reason = reason
            yield ChoiceEnd(index, reason)

    def _so_far(self, index: int) -> _ChoiceSoFar:
        return self._choices.get(index, _ChoiceSoFar())


class _ChoiceSoFar:
    """What has come of one choice."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self._texts: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._calls: dict[int, list[ToolCallDelta]] = {}

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(_joined(pieces) for _, pieces in sorted(self._calls.items()))

    def take_text(self, piece: TextDelta) -> None:
        self._texts.append(piece.text)
        self._logprobs += piece.logprobs

    def take_call(self, piece: ToolCallDelta) -> None:
        self._calls.setdefault(piece.call, []).append(piece)

    def choice(self, index: int) -> Choice:
        return Choice(
            index,
            self.text,
            self.finish_reason,
            self.tool_calls,
            tuple(self._logprobs) or None,
        )


def _tool_call_delta(index: int, record: JsonObject) -> ToolCallDelta:
    function = get(record, "function", dict)
    return ToolCallDelta(
        index,
        get(record, "index", int),
        get_optional(function, "arguments", str) or "",
        get_optional(record, "id", str),
        get_optional(function, "name", str),
    )


def _joined(pieces: list[ToolCallDelta]) -> ToolCall:
    return ToolCall(
        next((one.id for one in pieces if one.id is not None), ""),
        next((one.name for one in pieces if one.name is not None), ""),
        "".join(one.arguments for one in pieces),
    )


def text_of_first(event: StreamEvent) -> str | None:
    """The first choice's text in an event; None where there is none."""
    if isinstance(event, TextDelta) and event.index == 0 and event.text:
        return event.text
    return None


class StreamSoFar(StreamFacts):
    """What a stream, sync or async, tells of itself; of the first choice where there are more."""

    def __init__(self, assembly: Assembly) -> None:
        super().__init__(assembly)
        self._assembly = assembly

    @property
    def text(self) -> str:
        """What has come so far."""
        return self._assembly.text()

    @property
    def finish_reason(self) -> str | None:
        """ "stop", "length" or "tool_calls"; None before the end."""
        return self._assembly.finish_reason()

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """What has come so far."""
        return self._assembly.tool_calls()
