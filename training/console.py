"""A training as a person at a terminal sees it: a bar, and a line for each measurement."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.curves import Row
from training.watching import Step


class ConsoleWatcher:
    """See `training.watching.Watcher`. Never ends a run."""

    def __init__(self, total: int, completed: int) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TimeRemainingColumn(),
        )
        self._task = self._bar.add_task("training", total=total, completed=completed, loss=math.nan)

    def stepped(self, step: Step) -> bool:
        self._bar.update(self._task, completed=step.number, loss=step.loss)
        return True

    def measured(self, row: Row) -> None:
        self._bar.console.print(row.line(), soft_wrap=True)

    def saving(self, step: int) -> None:
        """Nothing that a person waits for; `saved` neither."""

    def saved(self, step: int) -> None:
        """See `saving`."""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
