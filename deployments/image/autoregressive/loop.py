"""Turns of the autoregressive engine. Work is counted in places: codes that are to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor

from deployments.image.autoregressive.engine import AutoregressiveEngine, Event, Job
from deployments.turn_loop import LoopLimits, TurnLoop

GUESSED_PLACES_PER_S = 500.0


class AutoregressiveLoop(TurnLoop[Job, Event]):
    def __init__(
        self, engine: AutoregressiveEngine, limits: LoopLimits, executor: Executor
    ) -> None:
        super().__init__(engine, limits, executor, GUESSED_PLACES_PER_S)
        self._engine = engine

    def _ends(self, event: Event) -> bool:
        return event.done

    def _fault(self, event: Event) -> Exception | None:
        return event.error

    def _work_left(self) -> float:
        return self._engine.places_left

    def _work_done(self, events: Sequence[Event], left_before: float) -> float:
        return left_before - self._engine.places_left
