"""Sends calls and tries again where that helps; for asyncio. Its twin is `_transport.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx2

from bestiary_client._exchange import Answer, Exchange, failure_before_reply, failure_in_reply
from bestiary_client._receipts import LastReceipt
from bestiary_client._replies import api_error, receipt_in
from bestiary_client._requests import Call
from bestiary_client._retries import RetryPolicy
from bestiary_client._settings import Settings
from bestiary_client._timeouts import Budget, Timeout


class AsyncTransport:
    def __init__(
        self,
        client: httpx2.AsyncClient,
        settings: Settings,
        timeout: Timeout,
        retries: RetryPolicy,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._settings = settings
        self._timeout = timeout
        self._retries = retries
        self._sleep = sleep
        self.last_receipt = LastReceipt()

    async def send(self, call: Call) -> Answer:
        """The whole reply. Raises ApiError, ConnectionFailed, TimedOut, StreamBroken."""
        response, budget = await self.open(call)
        try:
            return Answer(response.headers, await _read(response, budget))
        finally:
            await response.aclose()

    async def open(self, call: Call) -> tuple[httpx2.Response, Budget]:
        """A reply whose body is still to come; the caller closes it. Raises as `send`."""
        exchange = Exchange(call, self._settings, self._timeout, self._retries)
        while True:
            request = exchange.request(self._client)
            try:
                response = await self._client.send(request, stream=True)
            except httpx2.TransportError as error:
                delay = exchange.retry_failure_in_s(error)
                if delay is None:
                    raise failure_before_reply(error, request) from error
            else:
                if response.is_success:
                    return response, exchange.budget
                delay = await self._refused(response, exchange)
            await self._sleep(delay)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _refused(self, response: httpx2.Response, exchange: Exchange) -> float:
        """How long to wait before the next attempt. Raises ApiError where there is none."""
        try:
            content = await _read(response, exchange.budget)
        finally:
            await response.aclose()
        delay = exchange.retry_refusal_in_s(response)
        if delay is None:
            self.last_receipt.set(receipt_in(content, response.headers))
            raise api_error(response.status_code, response.headers, content)
        return delay


async def _read(response: httpx2.Response, budget: Budget) -> bytes:
    request_id = response.headers.get("x-request-id")
    pieces: list[bytes] = []
    try:
        async for piece in response.aiter_bytes():
            pieces.append(piece)
            budget.check(request_id)
    except httpx2.RequestError as error:
        raise failure_in_reply(error, request_id) from error
    return b"".join(pieces)
