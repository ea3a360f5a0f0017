"""The outermost layers, as plain ASGI: request ids, the clock, the last word on errors, body size.

`Observed` sees every exchange from its first to its last byte: it makes the
`Exchange`, writes the headers that every reply has, measures the total, records
the metrics, and turns what nobody expected into a typed 500. `BoundedBody` counts
bytes as they come, so that a body over the limit is refused without being kept.
"""

from __future__ import annotations

import logging
import math
import re
import uuid
from collections.abc import Mapping
from time import perf_counter
from typing import TypeVar

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bestiary.errors import BestiaryError, BodyTooLarge, InvalidRequest
from bestiary.schemas.text import Priority
from bestiary.telemetry.metrics import RequestMetrics
from services.gateway.dialects.base import Dialects
from services.gateway.error_mapping import error_headers, public
from services.gateway.exchange import Exchange, put_exchange
from services.gateway.hang_up import ClientGone
from services.gateway.receipts import (
    receipt_json,
    receipt_of,
    record_of,
    route_headers,
    with_field,
)

CLIENT_LEFT = 499  # nginx's number for it; only the metrics see it
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_UNTIMED_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})  # probes are not traffic
_logger = logging.getLogger(__name__)
V = TypeVar("V")


class Observed:
    def __init__(
        self,
        app: ASGIApp,
        *,
        dialects: Dialects,
        metrics: RequestMetrics,
        request_timeout_s: float,
        server_echoes_request_id: bool,
    ) -> None:
        self._app = app
        self._dialects = dialects
        self._metrics = metrics
        self._request_timeout_s = request_timeout_s
        self._server_echoes_request_id = server_echoes_request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = self._new_exchange(scope)
        put_exchange(scope, exchange)
        reply = Reply(exchange, send)
        try:
            _read_wishes(exchange, Headers(scope=scope))
            await self._app(scope, receive, reply.send)
        except ClientGone:
            reply.status = CLIENT_LEFT
        except BestiaryError as error:  # raised outside of any route
            await reply.refuse(error)
        except Exception:  # the process's edge
            _logger.exception("request %s failed", exchange.request_id)
            await reply.refuse(BestiaryError("unexpected"))
        finally:
            if scope["path"] not in _UNTIMED_PATHS:
                self._metrics.record(record_of(exchange, reply.outcome, perf_counter()))

    def _new_exchange(self, scope: Scope) -> Exchange:
        offered = Headers(scope=scope).get("x-request-id", "")
        sane = _SANE_REQUEST_ID.fullmatch(offered) is not None
        request_id = offered if sane else uuid.uuid4().hex
        # Twice the same header reads as "id, id" in a client.
        echoed = sane and self._server_echoes_request_id
        return Exchange(
            request_id=request_id,
            dialect=self._dialects.of(scope["path"]),
            deadline=perf_counter() + self._request_timeout_s,
            headers={} if echoed else {"x-request-id": request_id},
        )


class Reply:
    """One reply on its way out. Its head waits for the first body bytes: then the time is known."""

    def __init__(self, exchange: Exchange, send: Send) -> None:
        self.status = CLIENT_LEFT  # until a head is sent
        self._exchange = exchange
        self._send = send
        self._head: Message | None = None

    @property
    def outcome(self) -> int:
        """The status for the metrics: an error in mid-stream counts, not its 200."""
        if self.status == CLIENT_LEFT or self._exchange.error is None:
            return self.status
        error = public(self._exchange.error, self._exchange.request_id)
        return self._exchange.dialect.errors.status(error)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._head = message
            return
        if self._head is not None and message["type"] == "http.response.body":
            head, self._head = self._head, None
            message = self._finish(head, message)
            self.status = head["status"]
            await self._send(head)
        await self._send(message)

    async def refuse(self, error: BestiaryError) -> None:
        """Says so, where nothing was said yet."""
        self._exchange.error = error
        if self.status != CLIENT_LEFT:
            return
        told = public(error, self._exchange.request_id)
        style = self._exchange.dialect.errors
        headers = MutableHeaders({"content-type": "application/json", **error_headers(told)})
        body = style.body(told)
        headers["content-length"] = str(len(body))
        await self.send(
            {
                "type": "http.response.start",
                "status": style.status(told),
                "headers": headers.raw,
            }
        )
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    def _finish(self, head: Message, body: Message) -> Message:
        """Puts on what every reply has. Streams bring their receipt at their end."""
        exchange = self._exchange
        headers = MutableHeaders(raw=list(head["headers"]))
        headers.update(exchange.headers)
        headers.update(route_headers(exchange))
        if not body.get("more_body", False):
            now = perf_counter()
            headers["server-timing"] = receipt_of(exchange, now).as_server_timing()
            if exchange.body_receipt and headers.get("content-type") == "application/json":
                content = with_field(body["body"], receipt_json(exchange, now))
                headers["content-length"] = str(len(content))
                body = {**body, "body": content}
        head["headers"] = headers.raw
        return body


class BoundedBody:
    """Raises BodyTooLarge out of `receive`, at the first byte over the limit.

    `max_bytes_under` has other limits, by the beginning of a path.
    """

    def __init__(
        self, app: ASGIApp, *, max_bytes: int, max_bytes_under: Mapping[str, int] | None = None
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_bytes_under = dict(max_bytes_under or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        most = self._most(scope["path"])
        too_large = announced.isdigit() and int(announced) > most
        received = 0

        async def bounded() -> Message:
            nonlocal received
            if too_large:
                raise _over(most)
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > most:
                    raise _over(most)
            return message

        await self._app(scope, bounded, send)

    def _most(self, path: str) -> int:
        under = self._max_bytes_under.items()
        return next((most for start, most in under if path.startswith(start)), self._max_bytes)


def _over(most: int) -> BodyTooLarge:
    return BodyTooLarge(f"the request body is over the limit of {most} bytes")


def _read_wishes(exchange: Exchange, headers: Headers) -> None:
    """The `x-bestiary-*` request headers. Raises InvalidRequest that names the header."""
    exchange.strict = _flag(headers, "x-bestiary-strict")
    exchange.body_receipt = _choice(headers, "x-bestiary-receipt", {"": False, "body": True})
    priorities = {"": Priority.INTERACTIVE} | {one.value: one for one in Priority}
    exchange.priority = _choice(headers, "x-bestiary-priority", priorities)
    timeout = headers.get("x-bestiary-timeout")
    if timeout is not None:
        exchange.deadline = min(exchange.deadline, exchange.arrived + _seconds(timeout))


def _flag(headers: Headers, name: str) -> bool:
    return _choice(headers, name, {"": False, "false": False, "0": False, "true": True, "1": True})


def _choice(headers: Headers, name: str, values: dict[str, V]) -> V:
    value = headers.get(name, "").strip().lower()
    if value not in values:
        known = ", ".join(filter(None, values))
        raise InvalidRequest(f"header {name} must be one of {known}", name)
    return values[value]


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise InvalidRequest(
            "header x-bestiary-timeout must be a number of seconds over 0", "x-bestiary-timeout"
        )
    return seconds
