"""How much one key may ask: a moving window of a minute per key, counted by the library `limits`.

Counters are in this process (`memory://`), or shared by all gateway replicas
(`redis://`). Overload of the platform itself is the router's business.

In memory the library's synchronous window is used: it never blocks, and costs 20 us
a request where the asynchronous one costs 200 to 400 (it starts a thread job per hit).
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from limits import RateLimitItemPerMinute, WindowStats
from limits.aio.storage import Storage as SharedStorage
from limits.aio.strategies import MovingWindowRateLimiter as SharedMovingWindow
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import Request

from bestiary.errors import RateLimited, Unavailable
from services.gateway.auth import Dependency
from services.gateway.exchange import exchange_of

STORAGE_DEADLINE_S = 2.0


class _Windows(Protocol):
    async def hit(self, item: RateLimitItemPerMinute, key: str) -> tuple[bool, WindowStats]:
        """Whether it was allowed, and the window after it."""
        ...


class _InProcess:
    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def hit(self, item: RateLimitItemPerMinute, key: str) -> tuple[bool, WindowStats]:
        return self._limiter.hit(item, key), self._limiter.get_window_stats(item, key)


class _Shared:
    def __init__(self, url: str) -> None:
        storage = storage_from_string(f"async+{url}", wrap_exceptions=True)
        if not isinstance(storage, SharedStorage):
            raise TypeError(f"{url} has no asynchronous storage")
        self._limiter = SharedMovingWindow(storage)

    async def hit(self, item: RateLimitItemPerMinute, key: str) -> tuple[bool, WindowStats]:
        return (
            await self._limiter.hit(item, key),
            await self._limiter.get_window_stats(item, key),
        )


class RateLimits:
    """`storage` is a URL of the library; `requests_per_minute` holds for keys without their own."""

    def __init__(self, storage: str, requests_per_minute: int) -> None:
        self._windows: _Windows = (
            _InProcess() if storage.startswith("memory://") else _Shared(storage)
        )
        self._default = requests_per_minute

    async def hit(self, key_id: str, requests_per_minute: int | None) -> dict[str, str]:
        """Counts one request; returns the response's headers (OpenAI's names).

        Raises RateLimited, or Unavailable where the counters' storage does not answer.
        """
        item = RateLimitItemPerMinute(requests_per_minute or self._default)
        try:
            async with asyncio.timeout(STORAGE_DEADLINE_S):
                allowed, window = await self._windows.hit(item, key_id)
        except (StorageError, TimeoutError) as error:
            raise Unavailable("the rate-limit counters do not answer", 1.0) from error
        wait_s = max(0.0, window.reset_time - time.time())
        if not allowed:
            raise RateLimited(
                f"this key may make {item.amount} requests a minute; "
                f"the next one may come in {wait_s:.1f} s",
                wait_s,
            )
        return {
            "x-ratelimit-limit-requests": str(item.amount),
            "x-ratelimit-remaining-requests": str(max(0, window.remaining)),
            "x-ratelimit-reset-requests": f"{wait_s:.3f}s",
        }


def limited(limits: RateLimits) -> Dependency:
    """A FastAPI dependency, after `auth.requires`: refuses a key that asks too much."""

    async def count(request: Request) -> None:
        exchange = exchange_of(request)
        if exchange.caller is not None:
            exchange.headers.update(
                await limits.hit(exchange.caller.id, exchange.caller.requests_per_minute)
            )

    return count
