"""Work that stops when nobody waits for it any more: the client left, or the deadline passed.

It watches ASGI's `receive`, which after the body has one thing left to say:
`http.disconnect`. Like `asyncio.timeout`, it cancels the task that it runs in and
turns that cancellation into its own error, so `finally` blocks on the way out run.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from starlette.types import Receive

from bestiary.errors import DeadlineExceeded


class ClientGone(Exception):
    """The client closed its connection. Nobody is left to be told."""


class WhileWanted:
    """`async with WhileWanted(receive, seconds)`; raises ClientGone or DeadlineExceeded."""

    def __init__(self, receive: Receive, seconds: float) -> None:
        self._receive = receive
        self._timeout = asyncio.timeout(seconds)
        self._gone = False
        self._task: asyncio.Task[object] | None = None
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> WhileWanted:
        self._task = asyncio.current_task()
        await self._timeout.__aenter__()
        self._watch = asyncio.create_task(self._wait_for_hang_up())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self._gone and self._task is not None:
            self._task.uncancel()
            # The timeout must still be closed; what it says no longer matters.
            await self._timeout.__aexit__(None, None, None)
            raise ClientGone from error
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as expired:
            if not self._timeout.expired():
                raise
            raise DeadlineExceeded(
                "the request's deadline passed before its answer was complete"
            ) from expired

    async def _wait_for_hang_up(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                break
        if self._task is not None:
            self._gone = True
            self._task.cancel()
