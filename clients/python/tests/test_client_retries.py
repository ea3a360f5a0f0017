"""When a call is tried again, how long it waits, and when it gives up."""

from __future__ import annotations

import socket
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import httpx2
import pytest
from scripted_server import Reply, ScriptedServer, chat_reply, refusal

from bestiary_client import (
    AsyncBestiary,
    BadRequest,
    Bestiary,
    ConfigurationError,
    ConnectionFailed,
    RateLimited,
    ServerError,
    TimedOut,
    Timeout,
    Unavailable,
)
from bestiary_client._async_transport import AsyncTransport
from bestiary_client._requests import Call
from bestiary_client._retries import RETRY_AFTER_MAX_S, RetryPolicy, parse_retry_after
from bestiary_client._settings import Settings
from bestiary_client._transport import Transport

CALL = Call("POST", "/v1/chat/completions", {"model": "gecko"})
NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=timezone.utc)


class Waits:
    """Stands in for `sleep`, and for the dice: the jitter is always full."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waited.append(seconds)

    async def later(self, seconds: float) -> None:
        self.waited.append(seconds)


def send(url: str, waits: Waits, max_retries: int = 2, total: float = 600) -> None:
    policy = RetryPolicy(max_retries, uniform=lambda low, high: high)
    found = Settings(url, None, loopback=True)
    with httpx2.Client() as client:
        Transport(client, found, Timeout(total=total), policy, waits).send(CALL)


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_passing_refusal_is_tried_again(server: ScriptedServer, status: int) -> None:
    server.will(refusal(status, "busy"), refusal(status, "busy"), chat_reply())
    waits = Waits()
    send(server.url, waits)
    assert waits.waited == [0.5, 1.0]
    assert len(server.got) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 500])
def test_other_refusals_are_final(server: ScriptedServer, status: int) -> None:
    server.will(refusal(status, "no"), chat_reply())
    with pytest.raises(Exception, match="no: no"):
        send(server.url, Waits())
    assert len(server.got) == 1


def test_retry_after_is_followed_to_the_letter(server: ScriptedServer) -> None:
    server.will(refusal(429, "overloaded", {"retry-after": "7"}), chat_reply())
    waits = Waits()
    send(server.url, waits)
    assert waits.waited == [7.0]


def test_retry_after_may_be_a_date(server: ScriptedServer) -> None:
    date = datetime.now(timezone.utc) + timedelta(seconds=30)
    server.will(
        refusal(503, "unavailable", {"retry-after": format_datetime(date, usegmt=True)}),
        chat_reply(),
    )
    waits = Waits()
    send(server.url, waits)
    assert 27 < waits.waited[0] <= 30


def test_a_long_retry_after_is_left_to_the_caller(server: ScriptedServer) -> None:
    server.will(refusal(429, "rate_limit_exceeded", {"retry-after": "3600"}))
    with pytest.raises(RateLimited) as caught:
        send(server.url, Waits())
    assert caught.value.retry_after == 3600
    assert len(server.got) == 1


def test_a_wait_that_would_pass_the_total_timeout_is_not_begun(server: ScriptedServer) -> None:
    server.will(refusal(429, "overloaded", {"retry-after": "10"}))
    with pytest.raises(RateLimited):
        send(server.url, Waits(), total=5)


def test_the_last_refusal_is_raised_when_retries_are_used_up(server: ScriptedServer) -> None:
    server.will(refusal(503, "unavailable"))
    with pytest.raises(Unavailable):
        send(server.url, Waits(), max_retries=1)
    assert len(server.got) == 2


def test_no_retries_where_none_are_wanted(server: ScriptedServer) -> None:
    server.will(refusal(503, "unavailable"))
    with pytest.raises(Unavailable):
        send(server.url, Waits(), max_retries=0)
    assert len(server.got) == 1


def test_a_connection_that_breaks_before_the_reply_is_tried_again(server: ScriptedServer) -> None:
    server.will(Reply(cut=True), chat_reply())
    send(server.url, Waits())
    assert len(server.got) == 2


def test_nobody_there_is_tried_again_and_then_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    waits = Waits()
    with pytest.raises(ConnectionFailed, match="no connection to http://127"):
        send(url, waits)
    assert waits.waited == [0.5, 1.0]


def test_a_slow_reply_times_out_and_is_not_tried_again(server: ScriptedServer) -> None:
    server.will(Reply(body={}, pause_s=0.5))
    with pytest.raises(TimedOut), Bestiary(base_url=server.url, timeout=0.1) as client:
        client.chat("hi")
    assert len(server.got) == 1


async def test_the_async_transport_waits_and_tries_alike(server: ScriptedServer) -> None:
    server.will(refusal(429, "overloaded", {"retry-after": "7"}), refusal(503, "x"), chat_reply())
    waits = Waits()
    policy = RetryPolicy(2, uniform=lambda low, high: high)
    found = Settings(server.url, None, loopback=True)
    asynchronous = AsyncTransport(httpx2.AsyncClient(), found, Timeout(), policy, waits.later)
    await asynchronous.send(CALL)
    await asynchronous.aclose()
    assert waits.waited == [7.0, 1.0]


async def test_the_async_client_gives_up_alike(server: ScriptedServer) -> None:
    server.will(refusal(400, "invalid_request", param="n"))
    async with AsyncBestiary(base_url=server.url) as client:
        with pytest.raises(BadRequest) as caught:
            await client.chat("hi")
    assert caught.value.param == "n"


def test_a_redirect_is_not_followed_with_the_key(server: ScriptedServer) -> None:
    server.will(Reply(status=302, body={}, headers={"location": "http://elsewhere.example/"}))
    with pytest.raises(ServerError), Bestiary(base_url=server.url, api_key="sk") as client:
        client.chat("hi")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 14:00:30 +0200", 30.0),
        ("Thu, 01 Jan 2026 12:00:30 -0000", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("-1", None),
        ("soon", None),
        ("1.5", None),
        ("", None),
        ("²", None),
    ],
)
def test_retry_after_values(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize("attempt", range(8))
def test_backoff_is_bounded_and_jittered_fully(attempt: int) -> None:
    ranges: list[tuple[float, float]] = []

    def lowest(low: float, high: float) -> float:
        ranges.append((low, high))
        return low

    assert RetryPolicy(9, lowest).delay_s(attempt, None, 600) == 0
    assert ranges == [(0, min(8.0, 0.5 * 2**attempt))]


def test_retry_after_up_to_the_bound_is_waited_for() -> None:
    policy = RetryPolicy(1)
    assert policy.delay_s(0, RETRY_AFTER_MAX_S, 600) == RETRY_AFTER_MAX_S
    assert policy.delay_s(0, RETRY_AFTER_MAX_S + 1, 600) is None


def test_negative_retries_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        Bestiary(max_retries=-1)
