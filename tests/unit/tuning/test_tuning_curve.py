"""The picture of a job's curve, and the figures under it."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from math import inf, nan

from PIL import Image

from bestiary.schemas.tuning import (
    EventKind,
    EventLevel,
    Job,
    JobEvent,
    JobSpec,
    JobStatus,
    Method,
)
from services.tuning.curve import draw_curve, series_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job(
    id="ftjob-1",
    spec=JobSpec(base="tiny", method=Method.SUPERVISED, training_file="file-1"),
    status=JobStatus.RUNNING,
    created_at=NOW,
)


def event(step: int, **metrics: float) -> JobEvent:
    return JobEvent(
        id=f"ftevent-{step}",
        job="ftjob-1",
        created_at=NOW,
        level=EventLevel.INFO,
        kind=EventKind.METRICS,
        message="",
        data={"step": step, **metrics},
    )


def colours(png: bytes) -> set[tuple[int, int, int]]:
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    return {colour for _, colour in picture.getcolors(maxcolors=2**24)}


def test_a_metric_has_a_value_for_each_step_or_none():
    series = series_of([event(1, train_loss=2.0), event(2, train_loss=nan, valid_loss=1.5)])

    assert series == {"step": [1, 2], "train_loss": [2.0, None], "valid_loss": [None, 1.5]}


def test_both_losses_are_in_the_picture():
    events = [
        event(step, train_loss=2 / step, learning_rate=0.1, valid_loss=3 / step)
        for step in range(1, 50)
    ]

    picture = draw_curve(JOB, series_of(events))

    assert {(0x2F, 0x6F, 0xDE), (0xE8, 0x59, 0x0C)} <= colours(picture)


def test_a_job_without_steps_has_an_empty_picture():
    assert Image.open(io.BytesIO(draw_curve(JOB, series_of([])))).size == (1350, 675)


def test_a_loss_that_is_no_number_is_left_out():
    assert draw_curve(JOB, series_of([event(1, train_loss=inf), event(2, train_loss=1.0)]))


def test_a_long_job_is_drawn_in_time():
    events = [event(step, train_loss=2 / step, learning_rate=0.1) for step in range(1, 20_001)]

    assert len(draw_curve(JOB, series_of(events))) < 300_000
