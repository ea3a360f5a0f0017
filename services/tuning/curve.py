"""How a job goes, as a picture: the losses in training and on held-out examples, and the rate.

Knows metrics by their names (`trainers/progress.py` gives them), no job store and no HTTP.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from bestiary.schemas.tuning import Job, JobEvent

MAX_POINTS = 2000  # of one line; of more steps each n-th is drawn
SMOOTHED_SHARE = 0.05  # of the steps, in the bold line through the losses
TRAINING, HELD_OUT, RATE = "train_loss", "valid_loss", "learning_rate"
_INK, _BLUE, _ORANGE, _GREY = "#24292f", "#2f6fde", "#e8590c", "#8c959f"

Series = Mapping[str, Sequence[float | None]]


def series_of(events: Sequence[JobEvent]) -> dict[str, list[float | None]]:
    """One list for each metric, as long as there are steps; `step` says which. None: not measured
    in that step, or no number."""
    names = dict.fromkeys(("step", *(name for event in events for name in event.data)))
    return {name: [_number(event.data.get(name)) for event in events] for name in names}


def draw_curve(job: Job, series: Series) -> bytes:
    """A PNG of 1350 x 675 pixels. Not to be called by two threads at once: Matplotlib is not."""
    from matplotlib.figure import Figure  # a second to import

    figure = Figure(figsize=(9, 4.5), dpi=150, layout="constrained", facecolor="white")
    losses = figure.subplots()
    rate = losses.twinx()
    _draw_rate(rate, *_points(series, RATE))
    _draw_losses(losses, series)
    losses.set_zorder(rate.get_zorder() + 1)
    losses.patch.set_visible(False)
    _frame(losses, rate, 0 if job.plan is None else job.plan.steps)
    figure.suptitle(_title(job), x=0.01, ha="left", fontsize=11, color=_INK)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _draw_losses(axis: Any, series: Series) -> None:
    steps, losses = _points(series, TRAINING)
    axis.plot(*_thinned(steps, losses), color=_BLUE, alpha=0.28, linewidth=1)
    smooth = _smoothed(losses)
    axis.plot(*_thinned(steps, smooth), color=_BLUE, linewidth=2, label="training")
    if smooth:
        _name_end(axis, steps[-1], smooth[-1], _BLUE)
    steps, losses = _points(series, HELD_OUT)
    axis.plot(steps, losses, color=_ORANGE, linewidth=2, marker="o", markersize=4, label="held out")
    if losses:
        _name_end(axis, steps[-1], losses[-1], _ORANGE)


def _draw_rate(axis: Any, steps: list[float], rates: list[float]) -> None:
    axis.fill_between(*_thinned(steps, rates), color=_GREY, alpha=0.12, linewidth=0)
    axis.set_ylim(bottom=0)
    axis.set_ylabel("learning rate", color=_GREY)
    axis.tick_params(colors=_GREY, length=0, labelsize=8)
    axis.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    axis.yaxis.get_offset_text().set(color=_GREY, fontsize=8)


def _name_end(axis: Any, step: float, value: float, color: str) -> None:
    axis.annotate(
        f"{value:.3f}",
        (step, value),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
        fontweight="bold",
        color=color,
        annotation_clip=False,
    )


def _frame(losses: Any, rate: Any, steps: int) -> None:
    for axis in (losses, rate):
        for side in ("top", "left", "right"):
            axis.spines[side].set_visible(False)
    losses.spines["bottom"].set_color(_GREY)
    losses.set_xlim(0, max(1.0, steps, losses.dataLim.x1 if losses.has_data() else 0))
    losses.set_xlabel("step", color=_INK)
    losses.set_ylabel("loss", color=_INK)
    losses.tick_params(colors=_INK, length=0, labelsize=8)
    losses.grid(axis="y", alpha=0.25)
    losses.legend(frameon=False, loc="upper right", fontsize=9, labelcolor=_INK)


def _title(job: Job) -> str:
    steps = "" if job.plan is None else f" of {job.plan.steps}"
    return (
        f"{job.fine_tuned_model or job.id}  ·  {job.spec.base}, {job.spec.method}  ·  "
        f"{job.status}, step {job.completed_steps}{steps}"
    )


def _points(series: Series, name: str) -> tuple[list[float], list[float]]:
    """Where it was measured, and what."""
    pairs = zip(series.get("step", ()), series.get(name, ()), strict=False)
    measured = [(step, value) for step, value in pairs if step is not None and value is not None]
    return [step for step, _ in measured], [value for _, value in measured]


def _thinned(steps: list[float], values: list[float]) -> tuple[list[float], list[float]]:
    each = math.ceil(len(steps) / MAX_POINTS) or 1
    return steps[::each], values[::each]


def _smoothed(values: Sequence[float]) -> list[float]:
    """An exponential mean over a share of the steps, without the pull of its first value."""
    decay = 1 - 1 / max(1.0, SMOOTHED_SHARE * len(values))
    mean = weight = 0.0
    smooth = []
    for value in values:
        mean = decay * mean + (1 - decay) * value
        weight = decay * weight + (1 - decay)
        smooth.append(mean / weight)
    return smooth


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and math.isfinite(value):
        return value
    return None
