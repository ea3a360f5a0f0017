"""The choices of the OpenAI wire: where chat and completions differ.

A stream's choices are joined from bytes: there is one per token.
"""

from __future__ import annotations

import secrets
from typing import Protocol

import orjson

from bestiary.schemas.text import ToolCallPiece
from services.gateway.dialects.openai_logprobs import (
    ChatLogprobs,
    CompletionLogprobs,
    LogprobsWriter,
)
from services.gateway.generation import CalledTool, Candidate


class Shape(Protocol):
    """Where chat and completions differ."""

    document: str  # the `object` of a whole answer
    frame: str  # the `object` of a stream's frame
    id_prefix: str

    def choice(
        self, index: int, candidate: Candidate, logprobs: dict[str, object] | None
    ) -> dict[str, object]: ...

    def opening(self, index: int) -> bytes | None:
        """The choice that comes before a candidate's first text; None: nothing does."""
        ...

    def text(self, index: int, text: str, logprobs: bytes) -> bytes: ...

    def tool_call(self, index: int, piece: ToolCallPiece) -> bytes: ...

    def closing(self, index: int, reason: str) -> bytes: ...

    def logprobs(self, top: int) -> LogprobsWriter:
        """For one choice, with as many alternatives per token."""
        ...


class ChatShape:
    document = "chat.completion"
    frame = "chat.completion.chunk"
    id_prefix = "chatcmpl-"

    def choice(
        self, index: int, candidate: Candidate, logprobs: dict[str, object] | None
    ) -> dict[str, object]:
        calls = candidate.tool_calls
        message: dict[str, object] = {
            "role": "assistant",
            "content": candidate.text if candidate.text or not calls else None,
            "refusal": None,
        }
        if calls:
            message["tool_calls"] = [_call_json(call) for call in calls]
        return {
            "index": index,
            "message": message,
            "logprobs": logprobs,
            "finish_reason": candidate.finish_reason.value,
        }

    def opening(self, index: int) -> bytes | None:
        return (
            b'{"index":%d,"delta":{"role":"assistant","content":""},'
            b'"logprobs":null,"finish_reason":null}' % index
        )

    def text(self, index: int, text: str, logprobs: bytes) -> bytes:
        return b'{"index":%d,"delta":{"content":%b},"logprobs":%b,"finish_reason":null}' % (
            index,
            orjson.dumps(text),
            logprobs,
        )

    def tool_call(self, index: int, piece: ToolCallPiece) -> bytes:
        """The first piece has the call's id and name, the others have arguments alone."""
        delta: dict[str, object] = {"index": piece.index}
        function: dict[str, object] = {"arguments": piece.arguments}
        if piece.name is not None:
            delta |= {"id": _call_id(), "type": "function"}
            function = {"name": piece.name} | function
        return b'{"index":%d,"delta":{"tool_calls":[%b]},"logprobs":null,"finish_reason":null}' % (
            index,
            orjson.dumps(delta | {"function": function}),
        )

    def closing(self, index: int, reason: str) -> bytes:
        return b'{"index":%d,"delta":{},"logprobs":null,"finish_reason":"%b"}' % (
            index,
            reason.encode(),
        )

    def logprobs(self, top: int) -> LogprobsWriter:
        return ChatLogprobs()


class CompletionShape:
    document = "text_completion"
    frame = "text_completion"
    id_prefix = "cmpl-"

    def choice(
        self, index: int, candidate: Candidate, logprobs: dict[str, object] | None
    ) -> dict[str, object]:
        return {
            "index": index,
            "text": candidate.text,
            "logprobs": logprobs,
            "finish_reason": candidate.finish_reason.value,
        }

    def opening(self, index: int) -> bytes | None:
        return None

    def text(self, index: int, text: str, logprobs: bytes) -> bytes:
        return b'{"index":%d,"text":%b,"logprobs":%b,"finish_reason":null}' % (
            index,
            orjson.dumps(text),
            logprobs,
        )

    def tool_call(self, index: int, piece: ToolCallPiece) -> bytes:
        raise AssertionError("completions have no tools")

    def closing(self, index: int, reason: str) -> bytes:
        return b'{"index":%d,"text":"","logprobs":null,"finish_reason":"%b"}' % (
            index,
            reason.encode(),
        )

    def logprobs(self, top: int) -> LogprobsWriter:
        return CompletionLogprobs(top)


CHAT = ChatShape()
COMPLETION = CompletionShape()


def _call_json(call: CalledTool) -> dict[str, object]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": _call_id(), "type": "function", "function": function}


def _call_id() -> str:
    """A caller's next message names it; nothing here has to remember it."""
    return f"call_{secrets.token_hex(12)}"
