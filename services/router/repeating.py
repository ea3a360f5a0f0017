"""Something done again and again in the background, until it is closed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

_logger = logging.getLogger(__name__)


class Repeating:
    """`turn` begins `period_s` after its last one ended."""

    def __init__(self, turn: Callable[[], Awaitable[None]], period_s: float, name: str) -> None:
        self._turn = turn
        self._period_s = period_s
        self._name = name
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Needs a running event loop; a second call does nothing."""
        if self._task is None:
            self._task = asyncio.create_task(self._repeat(), name=self._name)

    async def close(self) -> None:
        """May be called again, and without a start."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _repeat(self) -> None:
        while True:
            try:
                await self._turn()
            except Exception:  # nobody waits for this task: ended, it would be missed by no one
                _logger.exception("%s failed; it goes on", self._name)
            await asyncio.sleep(self._period_s)
