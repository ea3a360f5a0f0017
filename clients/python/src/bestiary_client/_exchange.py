"""What the sync and the async transport share: how a call looks, and what a failure means."""

from __future__ import annotations

from dataclasses import dataclass

import httpx2

from bestiary_client._errors import BestiaryError, ConnectionFailed, StreamBroken, TimedOut
from bestiary_client._requests import Call
from bestiary_client._retries import RETRIED_STATUSES, RetryPolicy, parse_retry_after
from bestiary_client._settings import Settings
from bestiary_client._timeouts import Budget, Timeout, timeout_of

# Nothing of a reply has come, so trying again cannot deliver anything twice.
_RETRIED = (httpx2.ConnectTimeout, httpx2.NetworkError, httpx2.RemoteProtocolError)


@dataclass(frozen=True)
class Answer:
    """A whole reply with a status under 400."""

    headers: httpx2.Headers
    content: bytes


class Exchange:
    """One call with its retries: counts attempts and keeps the budget. Does no I/O."""

    def __init__(
        self, call: Call, settings: Settings, default_timeout: Timeout, retries: RetryPolicy
    ) -> None:
        self._call = call
        self._settings = settings
        self._retries = retries
        self._attempt = 0
        timeout = default_timeout if call.timeout is None else timeout_of(call.timeout)
        self.budget = Budget(timeout)

    def request(self, client: httpx2.Client | httpx2.AsyncClient) -> httpx2.Request:
        """The next attempt's. Raises TimedOut where no time is left."""
        timeout = self.budget.for_attempt()
        headers = {
            **self._call.headers,
            # The platform stops its work when nobody waits for it any more.
            "x-bestiary-timeout": f"{max(0.001, self.budget.left_s()):.3f}",
        }
        if self._settings.api_key is not None:
            headers["authorization"] = f"Bearer {self._settings.api_key}"
        upload = self._call.upload
        return client.build_request(
            self._call.method,
            self._settings.url + self._call.path,
            params=self._call.params or None,
            json=self._call.body,
            data=None if upload is None else upload.fields,
            files=None if upload is None else {"file": (upload.filename, upload.content)},
            headers=headers,
            timeout=timeout,
        )

    def retry_refusal_in_s(self, response: httpx2.Response) -> float | None:
        """Seconds until the next attempt after this reply; None: take it as it is."""
        if response.status_code not in RETRIED_STATUSES:
            return None
        return self._next_in_s(parse_retry_after(response.headers.get("retry-after")))

    def retry_failure_in_s(self, error: httpx2.TransportError) -> float | None:
        """Seconds until the next attempt after no reply at all; None: give up."""
        return self._next_in_s(None) if isinstance(error, _RETRIED) else None

    def _next_in_s(self, retry_after_s: float | None) -> float | None:
        if self._call.upload is not None:
            return None
        delay = self._retries.delay_s(self._attempt, retry_after_s, self.budget.left_s())
        self._attempt += 1
        return delay


def failure_before_reply(error: httpx2.TransportError, request: httpx2.Request) -> BestiaryError:
    where = f"{request.url.scheme}://{request.url.netloc.decode()}"
    if isinstance(error, httpx2.TimeoutException):
        return TimedOut(f"{where} did not answer in time ({type(error).__name__})")
    return ConnectionFailed(f"no connection to {where}: {error or type(error).__name__}")


def failure_in_reply(error: httpx2.RequestError, request_id: str | None) -> BestiaryError:
    if isinstance(error, httpx2.TimeoutException):
        return TimedOut("the reply stopped coming", request_id)
    return StreamBroken(f"the reply broke off: {error or type(error).__name__}", request_id)
