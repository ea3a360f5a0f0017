"""A real HTTP server on a loopback port that answers from a script and remembers what it got."""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

RECEIPT = {
    "total": 10.0,
    "gateway": 1.0,
    "routing": 0.5,
    "queue": 2.0,
    "prefill": 3.0,
    "decode": 3.0,
    "framework": 0.5,
}
EXTENSION = {
    "receipt": RECEIPT,
    "tier": "gecko",
    "model": "tiny-135m",
    "route_reason": "requested-tier",
}
HEADERS = {
    "x-request-id": "req-1",
    "x-bestiary-tier": "gecko",
    "x-bestiary-model": "tiny-135m",
    "x-bestiary-route-reason": "requested-tier",
}


@dataclass(frozen=True)
class Reply:
    """`frames` are sent one by one without a length; `cut` resets the connection after them."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    frames: tuple[str, ...] | None = None
    pause_s: float = 0.0  # before each frame, or before the body
    cut: bool = False


@dataclass(frozen=True)
class Got:
    method: str
    path: str
    headers: Mapping[str, str]
    body: dict[str, object] | None
    raw: bytes = b""


class ScriptedServer:
    """Plays `replies` in order; the last one stays."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.got: list[Got] = []
        self.hung_up = threading.Event()  # the client closed in the middle of a stream
        self._lock = threading.Lock()
        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._httpd.daemon_threads = True
        self._thread = threading.Thread(target=self._httpd.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._httpd.server_port}"

    def will(self, *replies: Reply) -> None:
        self.replies = list(replies)

    def take(self, got: Got) -> Reply:
        with self._lock:
            self.got.append(got)
            return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._httpd.shutdown()
        self._thread.join()
        self._httpd.server_close()


def _handler_of(server: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(None)

        def do_DELETE(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            raw = self._read()
            is_json = self.headers.get("content-type") == "application/json"
            self._answer(json.loads(raw) if is_json else None, raw)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

        def _read(self) -> bytes:
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("content-length", 0)))
            pieces: list[bytes] = []
            while length := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(length))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)

        def _answer(self, body: dict[str, object] | None, raw: bytes = b"") -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = server.take(Got(self.command, self.path, headers, body, raw))
            try:
                self._send(reply)
            except OSError:
                server.hung_up.set()
                self.close_connection = True

        def _send(self, reply: Reply) -> None:
            if reply.cut and reply.frames is None:
                self._reset()
                return
            if reply.frames is None:
                self._send_whole(reply)
            else:
                self._send_frames(reply, reply.frames)

        def _send_whole(self, reply: Reply) -> None:
            time.sleep(reply.pause_s)
            raw = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self._head(reply, {"content-type": "application/json", "content-length": str(len(raw))})
            self.wfile.write(raw)

        def _send_frames(self, reply: Reply, frames: Iterable[str]) -> None:
            self._head(reply, {"content-type": "text/event-stream", "connection": "close"})
            self.close_connection = True
            for frame in frames:
                time.sleep(reply.pause_s)
                self.wfile.write(frame.encode())
                self.wfile.flush()
            if reply.cut:
                self._reset()

        def _head(self, reply: Reply, more: Mapping[str, str]) -> None:
            self.send_response(reply.status)
            for name, value in {**HEADERS, **more, **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def _reset(self) -> None:
            self.close_connection = True
            linger = struct.pack("ii", 1, 0)  # close with RST
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    return Answering


def chat_reply(text: str = "hello", **fields: object) -> Reply:
    return Reply(
        body={
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "tiny-135m",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": 5,
                "completion_tokens": 2,
                "total_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": 4},
            },
            "bestiary": EXTENSION,
            **fields,
        }
    )


def completion_reply(*texts: str) -> Reply:
    choices = [
        {"index": index, "text": text, "finish_reason": "length"}
        for index, text in enumerate(texts)
    ]
    return Reply(
        body={
            "id": "cmpl-1",
            "model": "tiny-135m",
            "choices": choices,
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
            "bestiary": EXTENSION,
        }
    )


def tool_call_reply(content: str | None = None) -> Reply:
    function = {"name": "look", "arguments": '{"at": "sea"}'}
    message = {
        "role": "assistant",
        "content": content,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }
    return chat_reply(choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}])


SCORES = {
    "tokens": ["The", " sea", "bytes:\\xe2\\x82"],
    "token_logprobs": [None, -1.5, -2],
    "top_logprobs": [None, {" sky": -2.5, " sea": -1.5}, {"bytes:\\xe2\\x82": -2.0}],
    "text_offset": [0, 3, 7],
}


def scored_completion(**scores: object) -> Reply:
    choice = {
        "index": 0,
        "text": "The sea",
        "finish_reason": "length",
        "logprobs": SCORES | scores,
    }
    return Reply(
        body={"id": "cmpl-1", "model": "tiny-135m", "choices": [choice], "bestiary": EXTENSION}
    )


def refusal(
    status: int, code: str, headers: Mapping[str, str] | None = None, param: str | None = None
) -> Reply:
    body = {"error": {"message": f"no: {code}", "type": "t", "param": param, "code": code}}
    return Reply(status=status, body=body, headers=headers or {})


def frame(**fields: object) -> str:
    return f"data: {json.dumps({'id': 'chatcmpl-1', 'model': 'tiny-135m', **fields})}\n\n"


def delta(text: str, index: int = 0, finish_reason: str | None = None) -> str:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": finish_reason}
    return frame(choices=[choice])


USAGE_FRAME = frame(
    choices=[],
    usage={"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    bestiary=EXTENSION,
)
COMMENT = f": bestiary-receipt {json.dumps(EXTENSION)}\n\n"
DONE = "data: [DONE]\n\n"


def stream_reply(*texts: str, pause_s: float = 0.0) -> Reply:
    role = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    frames = (
        frame(choices=[role]),
        *(delta(text) for text in texts),
        delta("", finish_reason="stop"),
        USAGE_FRAME,
        COMMENT,
        DONE,
    )
    return Reply(frames=frames, pause_s=pause_s)


def vectors_reply(*vectors: tuple[float, ...]) -> Reply:
    data = [
        {"index": index, "embedding": base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode()}
        for index, v in enumerate(vectors)
    ]
    return Reply(
        body={
            "object": "list",
            "data": data[::-1],
            "model": "mini",
            "usage": {"prompt_tokens": 3, "total_tokens": 3},
            "bestiary": EXTENSION,
        }
    )


COUNT = Reply(body={"object": "tokens", "model": "tiny-135m", "tokens": [1, 2, 3], "count": 3})
