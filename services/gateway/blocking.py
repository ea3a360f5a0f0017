"""Threads for what blocks: databases, disks, long reckonings. Knows no dialect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.requests import Request

from services.gateway.exchange import exchange_of
from services.gateway.hang_up import WhileWanted

T = TypeVar("T")


class Threads:
    """A few of their own, so that slow calls of one kind never take the threads of another."""

    def __init__(self, count: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, request: Request, call: Callable[[], T]) -> T:
        """What the call returns. Raises DeadlineExceeded, and ClientGone where nobody waits.

        A call that has begun goes on to its end in either case; one that waits is dropped.
        """
        async with WhileWanted(request.receive, exchange_of(request).remaining_s()):
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
