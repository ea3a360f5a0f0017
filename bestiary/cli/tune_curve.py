"""What a follower knows of a job's steps: losses, pace, time left. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bestiary_client import JobEvent, StepMetrics

TRAINING, HELD_OUT, RATE = "train_loss", "valid_loss", "learning_rate"
PACED_OVER = 20  # events, of which the pace is made
_GAP_S = 60.0  # a longer silence is a restart and no pace


@dataclass
class Curve:
    """Steps may come again: a resumed job repeats those since its checkpoint."""

    training: dict[int, float] = field(default_factory=dict)  # step -> loss
    held_out: dict[int, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)  # the newest figure of each name
    step: int = 0
    _pace: deque[tuple[datetime, int]] = field(default_factory=lambda: deque(maxlen=PACED_OVER))

    def learn(self, metrics: StepMetrics) -> None:
        if metrics.step < self.step:
            self._forget_after(metrics.step)
        self.step = metrics.step
        self.last.update(metrics.values)
        if TRAINING in metrics.values:
            self.training[metrics.step] = metrics.values[TRAINING]
        if HELD_OUT in metrics.values:
            self.held_out[metrics.step] = metrics.values[HELD_OUT]

    def hear(self, event: JobEvent) -> None:
        """Of an event of one step."""
        step, values = step_in(event.data)
        self.learn(StepMetrics(step, values))
        if self._pace and (event.created_at - self._pace[-1][0]).total_seconds() > _GAP_S:
            self._pace.clear()
        self._pace.append((event.created_at, step))

    @property
    def steps_per_s(self) -> float | None:
        """None: not enough was heard yet. Events are told in groups, of whole seconds."""
        if len(self._pace) < 2:
            return None
        (began, first), (ended, last) = self._pace[0], self._pace[-1]
        seconds = (ended - began).total_seconds()
        return (last - first) / seconds if seconds > 0 and last > first else None

    @property
    def best(self) -> tuple[int, float] | None:
        """Step and loss on held-out examples; None: not evaluated yet."""
        return min(self.held_out.items(), key=lambda item: item[1], default=None)

    def _forget_after(self, step: int) -> None:
        for known in (self.training, self.held_out):
            for later in [one for one in known if one >= step]:
                del known[later]
        self._pace.clear()


def step_in(data: Mapping[str, object]) -> tuple[int, dict[str, float]]:
    """The step of an event, and its numbers."""
    numbers = {name: one for name, one in data.items() if isinstance(one, int | float)}
    step = int(numbers.pop("step", 0))
    return step, {name: float(one) for name, one in numbers.items()}
