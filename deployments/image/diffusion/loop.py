"""Turns of the diffusion engine; other work of its networks runs between them, in its thread.

Work is counted in steps of one picture.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar, TypeVarTuple

from bestiary.schemas.image import ImageCounts
from deployments.image.diffusion.engine import DiffusionEngine, Event, Job
from deployments.turn_loop import LoopLimits, TurnLoop

GUESSED_STEPS_PER_S = 50.0

T = TypeVar("T")
Given = TypeVarTuple("Given")


class DiffusionLoop(TurnLoop[Job, Event]):
    def __init__(self, engine: DiffusionEngine, limits: LoopLimits, executor: Executor) -> None:
        super().__init__(engine, limits, executor, GUESSED_STEPS_PER_S)
        self._engine = engine

    @property
    def counts(self) -> ImageCounts:
        return self._engine.counts

    async def compute(self, function: Callable[[*Given], T], *given: *Given) -> T:
        """In the engine's own thread, between two turns."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *given)

    def _ends(self, event: Event) -> bool:
        return event.finished is not None

    def _work_left(self) -> float:
        return self._engine.waiting_steps

    def _work_done(self, events: Sequence[Event], left_before: float) -> float:
        return len(events)
