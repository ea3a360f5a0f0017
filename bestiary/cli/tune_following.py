"""Following a job on the terminal: a bar, the curve, what happens; lines where it is a log.

Everything goes to stderr but the tuned model's name, so that it can be piped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import typer
from bestiary_client import Bestiary, BestiaryError, JobEvent, JobNews, TuningJob
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bestiary.cli.screen import errors
from bestiary.cli.tune_curve import HELD_OUT, RATE, TRAINING, Curve
from bestiary.cli.tune_plot import Line, plot
from bestiary.cli.tune_tables import duration, evaluation_table, status, steps, verdict_lines

PATIENCE_S = 3600.0  # that the platform may be away at a stretch
PLOT_ROWS = 8
PLOT_COLUMNS = 64
BAR_WIDTH = 40
LINE_EVERY = 0.05  # share of the steps, in a log
_STYLES = {"info": "", "warn": "yellow", "error": "red"}
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def follow(client: Bestiary, job: TuningJob) -> None:
    """Until the job ends, and then what came of it. Ctrl-C stops this and not the job.

    Raises typer.Exit with 1 where the job did not succeed, 130 at Ctrl-C.
    """
    curve = Curve()
    try:
        for known in client.tuning.metrics(job):
            curve.learn(known)
        with _screen(curve) as screen:
            for news in client.tuning.follow(job, history=False, patience=PATIENCE_S):
                _hear(news, curve, screen)
                job = news.job
    except KeyboardInterrupt:
        errors.print(
            f"\nstopped following; the job goes on. Again: bestiary tune follow {job.id}\n"
            f"to stop the job itself: bestiary tune pause {job.id} (or cancel)",
            soft_wrap=True,
        )
        raise typer.Exit(INTERRUPTED) from None
    tell_end(job)


def tell_end(job: TuningJob) -> None:
    """Raises typer.Exit with 1 where it did not succeed."""
    if job.evaluation is not None:
        errors.print(evaluation_table(job.evaluation))
        for line in verdict_lines(job.evaluation):
            errors.print(line, soft_wrap=True)
    if job.failure is not None:
        errors.print(f"[red]failed:[/red] {escape(job.failure.message)}", soft_wrap=True)
    if job.tuned_model is not None:
        tried = f"bestiary tune compare {escape(job.tuned_model)} PROMPT"
        errors.print(f"[green]published[/green]; to try it: {tried}", soft_wrap=True)
        print(job.tuned_model)
    elif job.succeeded:
        errors.print("[yellow]not published[/yellow]: the gate or --no-publish held it back")
    if not job.succeeded:
        errors.print(f"job {job.id}: {status(job)}")
        raise typer.Exit(1)


class _Screen(Protocol):
    def show(self, news: JobNews) -> None: ...
    def say(self, event: JobEvent) -> None: ...


def _hear(news: JobNews, curve: Curve, screen: _Screen) -> None:
    for event in news.events:
        if event.type == "metrics":
            curve.hear(event)
        else:
            screen.say(event)
    screen.show(news)


@contextmanager
def _screen(curve: Curve) -> Iterator[_Screen]:
    if not errors.is_terminal:
        yield _Log(curve)
        return
    with Live(console=errors, refresh_per_second=4) as live:
        yield _Picture(curve, live)


class _Picture:
    """A bar and the curve, drawn over and over; messages stand above."""

    def __init__(self, curve: Curve, live: Live) -> None:
        self._curve = curve
        self._live = live

    def say(self, event: JobEvent) -> None:
        self._live.console.print(_message(event))

    def show(self, news: JobNews) -> None:
        self._live.update(picture(news, self._curve), refresh=True)


class _Log:
    """Every message, and a line whenever there is a held-out figure or a good part is done."""

    def __init__(self, curve: Curve) -> None:
        self._curve = curve
        self._told_step = -1
        self._away = False

    def say(self, event: JobEvent) -> None:
        errors.print(_message(event), soft_wrap=True)

    def show(self, news: JobNews) -> None:
        if news.lost is not None:
            if not self._away:
                errors.print(_away(news.lost), soft_wrap=True)
            self._away = True
            return
        self._away = False
        total = _total(news.job) or 0
        measured = any(HELD_OUT in event.data for event in news.events)
        if measured or self._curve.step - self._told_step > LINE_EVERY * total:
            if self._curve.step > self._told_step:
                at = Text(f"step {self._curve.step}/{total or '?'}  ")
                errors.print(at.append_text(figures(self._curve)), soft_wrap=True)
            self._told_step = self._curve.step


def picture(news: JobNews, curve: Curve) -> RenderableType:
    """The job as it stands: a bar, the figures, the curve."""
    job = news.job
    total = _total(job)
    done = curve.step if job.progress is None else job.progress.completed_steps
    head = f"[bold]{job.id}[/bold]  {status(job)}  [dim]{job.method} of {escape(job.base)}[/dim]"
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(total=total, completed=done, width=BAR_WIDTH),
        f"{steps(job)} steps",
        _left(job, curve, done),
    )
    parts: list[RenderableType] = [Text.from_markup(head), bar, figures(curve)]
    if news.lost is not None:
        parts.append(_away(news.lost))
    lines = (
        Line(tuple(curve.training.items()), "cyan"),
        Line(tuple(curve.held_out.items()), "bold yellow", joined=False),
    )
    drawn = plot(lines, columns=PLOT_COLUMNS, rows=PLOT_ROWS, last_step=total or done)
    return Group(*parts, *drawn, *_legend(drawn))


def figures(curve: Curve) -> Text:
    """One line: losses, learning rate, pace."""
    told: list[str] = []
    last = curve.last
    if TRAINING in last:
        told.append(f"loss {last[TRAINING]:.4f}")
    if curve.best is not None:
        at, best = curve.best
        told.append(f"held out {last[HELD_OUT]:.4f} (best {best:.4f} at {at})")
    if RATE in last:
        told.append(f"rate {last[RATE]:.1e}")
    if curve.steps_per_s is not None:
        told.append(f"{curve.steps_per_s:.2f} steps/s")
    return Text("  ".join(told))


def _left(job: TuningJob, curve: Curve, done: int) -> str:
    total = _total(job)
    if job.status != "running" or total is None or curve.steps_per_s is None:
        return ""
    return f"{duration((total - done) / curve.steps_per_s)} left"


def _total(job: TuningJob) -> int | None:
    return None if job.progress is None else job.progress.total_steps


def _legend(drawn: list[Text]) -> list[Text]:
    if not drawn:
        return []
    legend = Text(" " * 9)
    legend.append("⠒ training loss", style="cyan")
    legend.append("   ")
    legend.append("⠂ held out", style="bold yellow")
    return [legend]


def _message(event: JobEvent) -> Text:
    text = Text(f"{event.created_at.astimezone():%H:%M:%S} ", style="dim")
    return text.append(event.message, style=_STYLES.get(event.level, ""))


def _away(error: BestiaryError) -> Text:
    return Text(f"the platform does not answer, trying again: {error.message}", style="yellow")
