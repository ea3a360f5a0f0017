"""Turns of the encoder-decoder's engine. Work is counted in inputs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor

from deployments.seq2seq.engine import Event, Job, Seq2SeqEngine
from deployments.turn_loop import LoopLimits, TurnLoop

GUESSED_INPUTS_PER_S = 4.0


class Seq2SeqLoop(TurnLoop[Job, Event]):
    def __init__(self, engine: Seq2SeqEngine, limits: LoopLimits, executor: Executor) -> None:
        super().__init__(engine, limits, executor, GUESSED_INPUTS_PER_S)
        self._engine = engine

    def _ends(self, event: Event) -> bool:
        return event.found is not None

    def _fault(self, event: Event) -> Exception | None:
        return event.error

    def _work_left(self) -> float:
        return self._engine.waiting_inputs

    def _work_done(self, events: Sequence[Event], left_before: float) -> float | None:
        """A turn is a step: this share of the inputs that ran in it. None until one has ended,
        which tells how many steps they take."""
        ended = [event.found for event in events if event.found is not None]
        if not ended:
            return None
        steps = sum(len(found.tokens) for found in ended) / len(ended)
        return (len(ended) + self._engine.running_inputs) / max(steps, 1)
