"""What a tuning job told and saved: rows of events and checkpoints, written and read.

A step is told once: a resumed trainer repeats the steps after its checkpoint, and what
it tells of them replaces what was told before, in the same place of the list.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from bestiary.errors import NotFound
from bestiary.schemas.tuning import EventKind, EventLevel, JobCheckpoint, JobEvent
from bestiary.state.names import made_storable, new_id, storable
from bestiary.state.stored import now
from bestiary.state.tables import TuningCheckpointRow, TuningEventRow

EventData = Mapping[str, float | int | str | None]


def tell(
    session: Session,
    job: str,
    message: str,
    level: EventLevel = EventLevel.INFO,
    data: EventData | None = None,
) -> None:
    session.add(_new_event(job, None, made_storable(message), level, data or {}))


def tell_step(
    session: Session, job: str, step: int, of_steps: int | None, metrics: Mapping[str, float]
) -> None:
    whole = f"/{of_steps}" if of_steps is not None else ""
    figures = ", ".join(f"{name}={value:.4g}" for name, value in metrics.items())
    message = made_storable(f"Step {step}{whole}: {figures}")
    data: EventData = {"step": step, **metrics}
    known = session.scalars(
        select(TuningEventRow).where(TuningEventRow.job == job, TuningEventRow.step == step)
    ).one_or_none()
    if known is None:
        session.add(_new_event(job, step, message, EventLevel.INFO, data))
    else:
        known.message, known.data = message, dict(data)


def keep_checkpoint(session: Session, job: str, step: int, metrics: Mapping[str, float]) -> None:
    known = session.scalars(
        select(TuningCheckpointRow).where(
            TuningCheckpointRow.job == job, TuningCheckpointRow.step == step
        )
    ).one_or_none()
    if known is None:
        known = TuningCheckpointRow(id=new_id("ftckpt"), job=job, step=step)
        session.add(known)
    known.metrics, known.created_at = dict(metrics), now()


def event_number(session: Session, job: str, id: str) -> int:
    """Its place in the job's list. Raises NotFound."""
    query = select(TuningEventRow.number).where(TuningEventRow.job == job, TuningEventRow.id == id)
    return _present(session.scalar(query) if storable(id) else None, f"event {id!r}", job)


def checkpoint_step(session: Session, job: str, id: str) -> int:
    """Its place in the job's list. Raises NotFound."""
    query = select(TuningCheckpointRow.step).where(
        TuningCheckpointRow.job == job, TuningCheckpointRow.id == id
    )
    return _present(session.scalar(query) if storable(id) else None, f"checkpoint {id!r}", job)


def as_event(row: TuningEventRow) -> JobEvent:
    return JobEvent(
        id=row.id,
        job=row.job,
        created_at=row.created_at,
        level=EventLevel(row.level),
        kind=EventKind.MESSAGE if row.step is None else EventKind.METRICS,
        message=row.message,
        data=row.data,
    )


def as_checkpoint(row: TuningCheckpointRow) -> JobCheckpoint:
    return JobCheckpoint(
        id=row.id, job=row.job, step=row.step, created_at=row.created_at, metrics=row.metrics
    )


def _new_event(
    job: str, step: int | None, message: str, level: EventLevel, data: EventData
) -> TuningEventRow:
    return TuningEventRow(
        id=new_id("ftevent"),
        job=job,
        step=step,
        level=level,
        message=message,
        data=dict(data),
        created_at=now(),
    )


def _present(place: int | None, what: str, job: str) -> int:
    if place is None:
        raise NotFound(f"job {job} has no {what}")
    return place
