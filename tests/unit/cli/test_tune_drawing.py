"""Gates as they are written, curves as they are drawn."""

from __future__ import annotations

import io
import math
from datetime import UTC, datetime, timedelta

import pytest
from bestiary_client import Gate, JobEvent, JobNews, StepMetrics
from bestiary_client._tuning_replies import tuning_job
from rich.console import Console
from tuning_replies import job_body

from bestiary.cli.tune_curve import Curve
from bestiary.cli.tune_following import picture
from bestiary.cli.tune_gate import gate_of
from bestiary.cli.tune_plot import Line, plot, sparkline
from bestiary.cli.tune_tables import duration, size
from bestiary.errors import InvalidRequest

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("conditions", "gate"),
    [
        ((), None),
        (("none",), Gate(improves=(), max_forgetting=None)),
        (("exact_match>=0.9",), Gate(at_least={"exact_match": 0.9})),
        (("loss <= 1.5", "f1>=0.95"), Gate(at_least={"f1": 0.95}, at_most={"loss": 1.5})),
        (("f1 improves", "chrf improves"), Gate(improves=("f1", "chrf"))),
        (("forgetting<=1.2",), Gate(max_forgetting=1.2)),
    ],
)
def test_conditions_are_read(conditions: tuple[str, ...], gate: Gate | None) -> None:
    assert gate_of(conditions) == gate


@pytest.mark.parametrize("wrong", ["f1>0.9", "f1>=", "f1>=high", ">=1", "improves", "f1>=1e", ""])
def test_what_is_no_condition_is_told(wrong: str) -> None:
    with pytest.raises(InvalidRequest, match="is no condition; write 'exact_match"):
        gate_of([wrong])


def test_none_stands_alone() -> None:
    with pytest.raises(InvalidRequest, match="stands alone"):
        gate_of(["none", "f1>=1"])


def test_a_falling_line_falls() -> None:
    line = Line([(0, 3.0), (10, 1.0)], "cyan")
    assert [row.plain for row in plot([line], columns=4, rows=2, last_step=10)] == [
        "       3 ⠑⢄  ",
        "       1   ⠑⢄",
    ]


def test_single_points_are_not_joined() -> None:
    line = Line([(0, 1.0), (10, 0.0)], "yellow", joined=False)
    assert [row.plain[9:] for row in plot([line], columns=3, rows=1, last_step=10)] == ["⠁ ⢀"]


def test_nothing_is_drawn_of_nothing_and_of_what_is_no_number() -> None:
    assert plot([Line([], "")], columns=4, rows=2, last_step=10) == []
    assert plot([Line([(1, math.nan)], "")], columns=4, rows=2, last_step=10) == []
    assert len(plot([Line([(1, 2.0)], "")], columns=4, rows=2, last_step=0)) == 2


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([], ""),
        ([1.0], "▄"),
        ([3.0, 2.0, 1.0], "█▄▁"),
        ([4.0, 4.0, 1.0, 1.0], "█▁"),
        ([math.inf, 1.0], "▄"),
    ],
)
def test_sparklines_are_means_of_equal_parts(values: list[float], drawn: str) -> None:
    assert sparkline(values, 2 if len(values) == 4 else 3) == drawn


def event(step: int, second: float, **values: float) -> JobEvent:
    told = BEGAN + timedelta(seconds=second)
    return JobEvent(f"e{step}", told, "info", "metrics", f"step {step}", {"step": step, **values})


def test_the_pace_is_of_the_last_steps() -> None:
    curve = Curve()
    assert curve.steps_per_s is None
    for step in range(1, 41):
        curve.hear(event(step, second=step / 2, train_loss=1.0))
    assert curve.steps_per_s == 2.0


def test_a_silence_is_a_restart_and_no_pace() -> None:
    curve = Curve()
    for step, second in ((1, 0), (2, 1), (3, 500), (4, 501)):
        curve.hear(event(step, second))
    assert curve.steps_per_s == 1.0


def test_steps_that_are_done_again_replace_the_first_ones() -> None:
    curve = Curve()
    for step in (1, 2, 3, 4):
        curve.learn(StepMetrics(step, {"train_loss": float(step), "valid_loss": 9.0 - step}))
    curve.hear(event(3, 100, train_loss=0.5))
    assert curve.training == {1: 1.0, 2: 2.0, 3: 0.5}
    assert curve.best == (2, 7.0)
    assert curve.step == 3


def test_the_picture_tells_bar_figures_and_curve() -> None:
    curve = Curve()
    for step in range(1, 11):
        held_out = {"valid_loss": 3.0 / step} if step % 5 == 0 else {}
        curve.hear(event(step, step, train_loss=4.0 / step, learning_rate=1e-4, **held_out))
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(picture(JobNews(tuning_job(job_body())), curve))
    said = console.export_text()
    for told in ("10/20 steps", "10 s left", "loss 0.4000", "held out 0.3000 (best 0.3000 at 10)"):
        assert told in said
    assert "1.00 steps/s" in said
    assert "⠒ training loss" in said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.6, "1 min 0 s"), (7260, "2 h 1 min")],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(("count", "said"), [(0, "0 B"), (1500, "1.5 kB"), (5e12, "5000 GB")])
def test_sizes(count: float, said: str) -> None:
    assert size(count) == said
