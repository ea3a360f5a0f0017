"""Turns that are taken one after another, in a task of the event loop, until they are stopped."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from bestiary.errors import EngineFailure


class TurnTask(ABC):
    """`start` before use, `stop` after."""

    def __init__(self) -> None:
        self._turns: asyncio.Task[None] | None = None

    @abstractmethod
    async def _take_turns(self) -> None:
        """For ever."""

    @abstractmethod
    def _fail_everyone(self, error: EngineFailure) -> None:
        """Tells all who wait."""

    def start(self) -> None:
        """Needs a running event loop; starting twice is starting once."""
        if self._turns is None:
            self._turns = asyncio.get_running_loop().create_task(self._take_turns())

    async def stop(self) -> None:
        """Fails what is under way."""
        if self._turns is not None:
            self._turns.cancel()
            await asyncio.gather(self._turns, return_exceptions=True)
        self._fail_everyone(EngineFailure("the engine stopped"))

    @property
    def is_alive(self) -> bool:
        """Whether turns are being taken, or have not been asked for yet."""
        return self._turns is None or not self._turns.done()
