"""What a person sees: one console, progress bars, and errors that say what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bars
from rich.table import Column

from bestiary.progress import Task

# A file or a pipe has no width: tables there are for grep, so nothing is cut.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
errors = Console(stderr=True, highlight=False)


@dataclass(frozen=True)
class _BarTask:
    bars: Bars
    id: TaskID

    def advance(self, amount: float = 1) -> None:
        self.bars.advance(self.id, amount)


class ScreenProgress:
    """A `bestiary.progress.Progress` that draws bars; plain lines where there is no terminal."""

    def step(
        self, title: str, total: float | None = None, unit: str = ""
    ) -> AbstractContextManager[Task]:
        return _bar(title, total, unit) if console.is_terminal else _line(title)


@contextmanager
def _bar(title: str, total: float | None, unit: str) -> Iterator[Task]:
    columns: list[ProgressColumn] = [
        SpinnerColumn(finished_text="[green]✓[/green]"),
        TextColumn("{task.description}", table_column=Column(min_width=44)),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
    ]
    if total is not None:
        columns.insert(3, DownloadColumn() if unit in ("B", "bytes") else MofNCompleteColumn())
    with Bars(*columns, console=console) as bars:
        task = bars.add_task(title, total=total)
        yield _BarTask(bars, task)
        bars.update(task, total=total or 1, completed=total or 1)


class _NoBar:
    def advance(self, amount: float = 1) -> None:
        """A log needs no bars."""


@contextmanager
def _line(title: str) -> Iterator[Task]:
    console.print(f"  {title} ...")
    yield _NoBar()
