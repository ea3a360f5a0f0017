"""Sends calls and tries again where that helps; blocking. Its twin is `_async_transport.py`."""

from __future__ import annotations

import time
from collections.abc import Callable
from weakref import finalize

import httpx2

from bestiary_client._exchange import Answer, Exchange, failure_before_reply, failure_in_reply
from bestiary_client._receipts import LastReceipt
from bestiary_client._replies import api_error, receipt_in
from bestiary_client._requests import Call
from bestiary_client._retries import RetryPolicy
from bestiary_client._settings import Settings
from bestiary_client._timeouts import Budget, Timeout


class Transport:
    def __init__(
        self,
        client: httpx2.Client,
        settings: Settings,
        timeout: Timeout,
        retries: RetryPolicy,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._settings = settings
        self._timeout = timeout
        self._retries = retries
        self._sleep = sleep
        self.last_receipt = LastReceipt()
        # For clients that nobody closes: no socket is left to the garbage collector.
        finalize(self, client.close)

    def send(self, call: Call) -> Answer:
        """The whole reply. Raises ApiError, ConnectionFailed, TimedOut, StreamBroken."""
        response, budget = self.open(call)
        try:
            return Answer(response.headers, _read(response, budget))
        finally:
            response.close()

    def open(self, call: Call) -> tuple[httpx2.Response, Budget]:
        """A reply whose body is still to come; the caller closes it. Raises as `send`."""
        exchange = Exchange(call, self._settings, self._timeout, self._retries)
        while True:
            request = exchange.request(self._client)
            try:
                response = self._client.send(request, stream=True)
            except httpx2.TransportError as error:
                delay = exchange.retry_failure_in_s(error)
                if delay is None:
                    raise failure_before_reply(error, request) from error
            else:
                if response.is_success:
                    return response, exchange.budget
                delay = self._refused(response, exchange)
            self._sleep(delay)

    def close(self) -> None:
        self._client.close()

    def _refused(self, response: httpx2.Response, exchange: Exchange) -> float:
        """How long to wait before the next attempt. Raises ApiError where there is none."""
        try:
            content = _read(response, exchange.budget)
        finally:
            response.close()
        delay = exchange.retry_refusal_in_s(response)
        if delay is None:
            self.last_receipt.set(receipt_in(content, response.headers))
            raise api_error(response.status_code, response.headers, content)
        return delay


def _read(response: httpx2.Response, budget: Budget) -> bytes:
    request_id = response.headers.get("x-request-id")
    pieces: list[bytes] = []
    try:
        for piece in response.iter_bytes():
            pieces.append(piece)
            budget.check(request_id)
    except httpx2.RequestError as error:
        raise failure_in_reply(error, request_id) from error
    return b"".join(pieces)
