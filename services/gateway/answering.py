"""How answers leave: a JSON document at once, or a stream of frames that a dialect writes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from time import perf_counter
from typing import Generic, Protocol, TypeVar

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bestiary.errors import BestiaryError
from services.gateway.error_mapping import PublicError, error_headers, is_internal, public
from services.gateway.exchange import Exchange
from services.gateway.hang_up import ClientGone, WhileWanted
from services.gateway.receipts import receipt_json

# A client that reads nothing is not told for long why it gets no more.
LAST_WORD_DEADLINE_S = 1.0
_logger = logging.getLogger(__name__)
C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)
C_contra = TypeVar("C_contra", contravariant=True)


class Pieces(Protocol[C_co]):
    """An answer that comes bit by bit."""

    def pieces(self) -> AsyncGenerator[tuple[int, C_co], None]:
        """Which input, and its next bit. Raises where the answer fails."""
        ...

    async def aclose(self) -> None: ...


class FrameWriter(Protocol[C_contra]):
    """One dialect's streaming wire. Returns bytes to send; empty: nothing to say."""

    media_type: str

    def begin(self) -> bytes: ...

    def write(self, prompt: int, chunks: C_contra, /) -> bytes: ...

    def end(self, receipt: bytes) -> bytes:
        """`receipt` is the JSON of the extension field `bestiary`."""
        ...

    def fail(self, error: PublicError) -> bytes: ...


def json_answer(document: object, status: int = 200) -> Response:
    """`document` may hold contiguous NumPy arrays."""
    content = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, status, media_type="application/json")


def error_answer(exchange: Exchange, error: BestiaryError) -> Response:
    """In the exchange's dialect; the cause of an internal one goes to the log."""
    told = note_error(exchange, error)
    style = exchange.dialect.errors
    return Response(
        style.body(told),
        style.status(told),
        headers=error_headers(told),
        media_type="application/json",
    )


def note_error(exchange: Exchange, error: BestiaryError) -> PublicError:
    exchange.error = error
    if is_internal(error):
        _logger.error("request %s failed: %s", exchange.request_id, error, exc_info=error)
    return public(error, exchange.request_id)


class StreamAnswer(Response, Generic[C]):
    """Writes a generation as it comes, and closes it however that ends."""

    def __init__(self, exchange: Exchange, generation: Pieces[C], writer: FrameWriter[C]) -> None:
        # Proxies must not gather what is meant to come bit by bit.
        super().__init__(
            headers={"cache-control": "no-cache", "x-accel-buffering": "no"},
            media_type=writer.media_type,
        )
        del self.headers["content-length"]
        self._exchange = exchange
        self._generation = generation
        self._writer = writer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            try:
                async with WhileWanted(receive, self._exchange.remaining_s()):
                    await self._write(send)
            except BestiaryError as error:
                await self._fail(send, error)
            except ClientGone:
                raise
            except Exception as error:  # half an answer is out: this is the last place to say so
                _logger.exception("request %s failed in its stream", self._exchange.request_id)
                await self._fail(send, BestiaryError(f"unexpected {type(error).__name__}"))
        finally:
            self._exchange.dispatch_ends()
            await self._generation.aclose()

    async def _write(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        pending = self._writer.begin()
        async with aclosing(self._generation.pieces()) as pieces:
            async for prompt, chunks in pieces:
                pending += self._writer.write(prompt, chunks)
                if pending:
                    await _send_frame(send, pending)
                    pending = b""
        receipt = receipt_json(self._exchange, perf_counter())
        await _send_frame(send, self._writer.end(receipt), last=True)

    async def _fail(self, send: Send, error: BestiaryError) -> None:
        frame = self._writer.fail(note_error(self._exchange, error))
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_DEADLINE_S):
                await _send_frame(send, frame, last=True)


async def _send_frame(send: Send, frame: bytes, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": frame, "more_body": not last})
