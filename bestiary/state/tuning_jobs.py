"""Tuning jobs: what was asked for, where each one is, what it told. One transaction a call.

Who runs the jobs is not known here, only that each start is an attempt with a number.
A trainer writes under its attempt's number and is refused with Superseded when the job
runs under another or not at all: a trainer that was given up on cannot spoil its
successor's work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from bestiary.errors import Conflict
from bestiary.schemas.tuning import (
    Evaluation,
    EventLevel,
    Job,
    JobCheckpoint,
    JobError,
    JobEvent,
    JobSpec,
    JobStatus,
    TrainingPlan,
)
from bestiary.state.counters import Counter, lock
from bestiary.state.database import Database
from bestiary.state.job_history import (
    EventData,
    as_checkpoint,
    as_event,
    checkpoint_step,
    event_number,
    keep_checkpoint,
    tell,
    tell_step,
)
from bestiary.state.job_rows import (
    as_job,
    check_storable,
    found_job,
    metadata_of,
    new_job,
    own_job,
)
from bestiary.state.job_transitions import CANCEL, PAUSE, RESUME, Transition, must_move
from bestiary.state.names import storable
from bestiary.state.pages import Page, read_page
from bestiary.state.stored import now
from bestiary.state.tables import (
    TuningCheckpointRow,
    TuningEventRow,
    TuningJobMetadataRow,
    TuningJobRow,
)


@dataclass(frozen=True, slots=True)
class StepMetrics:
    step: int
    tokens: int  # of all steps so far
    metrics: Mapping[str, float]


class TuningJobs:
    """The store of jobs. Blocking; raises Unavailable where the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Users.

    def create(self, spec: JobSpec, plan: TrainingPlan, *, key: str | None = None) -> Job:
        """A queued job; the same `key` (the caller's idempotency key) gives the same job again.

        Raises InvalidRequest, and Conflict where the key was used for another spec.
        """
        check_storable(spec)
        digest = _digest(key) if key is not None else None
        with self._database.writing() as session:
            lock(session, Counter.TUNING_JOBS)
            known = _made_with(session, digest) if digest is not None else None
            if known is not None:
                return _same_job(known, spec)
            row = new_job(spec, plan, digest)
            session.add(row)
            session.flush()  # before what refers to it
            session.add_all(metadata_of(row))
            tell(session, row.id, f"Created fine-tuning job: {row.id}")
            return as_job(row)

    def get(self, id: str) -> Job:
        """Raises NotFound."""
        with self._database.reading() as session:
            return as_job(found_job(session, id))

    def list(
        self,
        *,
        after: str | None = None,
        limit: int = 20,
        status: JobStatus | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Page[Job]:
        """Newest first; those with all pairs of `metadata`. Raises NotFound for `after`."""
        rows = select(TuningJobRow)
        if status is not None:
            rows = rows.where(TuningJobRow.status == status)
        for key, value in (metadata or {}).items():
            if not storable(key + value):
                return Page((), False)
            rows = rows.where(
                exists().where(
                    TuningJobMetadataRow.job == TuningJobRow.id,
                    TuningJobMetadataRow.key == key,
                    TuningJobMetadataRow.value == value,
                )
            )
        with self._database.reading() as session:
            place = found_job(session, after).number if after is not None else None
            return read_page(session, rows, TuningJobRow.number, as_job, after=place, limit=limit)

    def events(self, id: str, *, after: str | None = None, limit: int = 20) -> Page[JobEvent]:
        """Newest first. Raises NotFound."""
        with self._database.reading() as session:
            job = found_job(session, id).id
            place = event_number(session, job, after) if after is not None else None
            rows = select(TuningEventRow).where(TuningEventRow.job == job)
            number = TuningEventRow.number
            return read_page(session, rows, number, as_event, after=place, limit=limit)

    def metrics(self, id: str) -> tuple[JobEvent, ...]:
        """Of every step that was told, by step. Raises NotFound."""
        with self._database.reading() as session:
            rows = session.scalars(
                select(TuningEventRow)
                .where(
                    TuningEventRow.job == found_job(session, id).id,
                    TuningEventRow.step.is_not(None),
                )
                .order_by(TuningEventRow.step)
            ).all()
            return tuple(as_event(row) for row in rows)

    def checkpoints(
        self, id: str, *, after: str | None = None, limit: int = 10
    ) -> Page[JobCheckpoint]:
        """The latest step first. Raises NotFound."""
        with self._database.reading() as session:
            job = found_job(session, id).id
            place = checkpoint_step(session, job, after) if after is not None else None
            rows = select(TuningCheckpointRow).where(TuningCheckpointRow.job == job)
            step = TuningCheckpointRow.step
            return read_page(session, rows, step, as_checkpoint, after=place, limit=limit)

    def cancel(self, id: str) -> Job:
        """Raises NotFound, Conflict. The same holds for `pause` and `resume`."""
        return self._move(id, CANCEL)

    def pause(self, id: str) -> Job:
        return self._move(id, PAUSE)

    def resume(self, id: str) -> Job:
        return self._move(id, RESUME)

    def _move(self, id: str, transition: Transition) -> Job:
        with self._database.writing() as session:
            row = found_job(session, id, locked=True)
            if must_move(id, JobStatus(row.status), transition):
                _set_status(row, transition.target)
                tell(session, id, transition.told)
            return as_job(row)

    # Who starts trainers.

    def claim(self, max_running: int) -> Job | None:
        """The next job, running from now on; None where enough run or none waits.

        Safe in many processes at once. Higher priorities come first, then older jobs.
        """
        with self._database.writing() as session:
            lock(session, Counter.TUNING_JOBS)  # so that nobody else counts now
            if _count_running(session) >= max_running:
                return None
            row = session.scalars(
                select(TuningJobRow)
                .where(TuningJobRow.status == JobStatus.QUEUED)
                .order_by(TuningJobRow.priority.desc(), TuningJobRow.number)
                .limit(1)
                .with_for_update(skip_locked=True)  # a user pauses or cancels it right now
            ).one_or_none()
            if row is None:
                return None
            _set_status(row, JobStatus.RUNNING)
            row.started_at = row.started_at or now()
            row.attempt += 1
            tell(session, row.id, f"Fine-tuning job started, attempt {row.attempt}")
            return as_job(row)

    def running(self) -> tuple[Job, ...]:
        """Oldest first."""
        with self._database.reading() as session:
            rows = session.scalars(
                select(TuningJobRow)
                .where(TuningJobRow.status == JobStatus.RUNNING)
                .order_by(TuningJobRow.number)
            ).all()
            return tuple(as_job(row) for row in rows)

    def restarted(self, id: str, attempt: int) -> Job:
        """The trainer of `attempt` died: the job runs on under the next number.

        Raises NotFound, and Superseded (a Conflict) where it was not that trainer's any more.
        """
        with self._database.writing() as session:
            row = own_job(session, id, attempt)
            row.attempt += 1
            message = f"The trainer died; attempt {row.attempt} goes on from the last checkpoint"
            tell(session, id, message, EventLevel.WARN)
            return as_job(row)

    # Trainers. All raise NotFound, and Superseded where the job is not this attempt's.

    def is_mine(self, id: str, attempt: int) -> bool:
        """Cheap enough to ask at every step."""
        with self._database.reading() as session:
            mine = exists().where(
                TuningJobRow.id == id,
                TuningJobRow.attempt == attempt,
                TuningJobRow.status == JobStatus.RUNNING,
            )
            return bool(session.scalar(select(mine)))

    def progressed(
        self,
        id: str,
        attempt: int,
        steps: Sequence[StepMetrics],
        *,
        saved: Mapping[str, float] | None = None,
    ) -> None:
        """What was done since the last word; with `saved` a checkpoint of it is on the disk.

        The same step again replaces what was told of it, the same checkpoint too. Also of a
        job that was paused: its trainer ends with a checkpoint.
        """
        with self._database.writing() as session:
            row = own_job(session, id, attempt, paused_too=True)
            of_steps = row.plan.steps if row.plan else None
            for one in steps:
                row.completed_steps, row.trained_tokens = one.step, one.tokens
                tell_step(session, id, one.step, of_steps, one.metrics)
            if saved is not None:
                keep_checkpoint(session, id, row.completed_steps, saved)

    def told(
        self,
        id: str,
        attempt: int,
        message: str,
        level: EventLevel = EventLevel.INFO,
        data: EventData | None = None,
    ) -> None:
        with self._database.writing() as session:
            own_job(session, id, attempt)
            tell(session, id, message, level, data)

    def evaluated(self, id: str, attempt: int, evaluation: Evaluation) -> None:
        with self._database.writing() as session:
            own_job(session, id, attempt).evaluation = evaluation

    def succeeded(
        self,
        id: str,
        attempt: int,
        *,
        model: str | None,
        result_files: tuple[str, ...],
        message: str,
    ) -> Job:
        """`model` is the published model's id; None where the gate or the spec kept it back."""
        with self._database.writing() as session:
            row = own_job(session, id, attempt)
            _set_status(row, JobStatus.SUCCEEDED)
            row.fine_tuned_model, row.result_files = model, result_files
            tell(session, id, message)
            return as_job(row)

    def failed(self, id: str, attempt: int, error: JobError) -> Job:
        with self._database.writing() as session:
            row = own_job(session, id, attempt)
            _set_status(row, JobStatus.FAILED)
            row.error = error
            tell(session, id, f"The job failed: {error.message}", EventLevel.ERROR)
            return as_job(row)


def _set_status(row: TuningJobRow, status: JobStatus) -> None:
    row.status = status
    if status.final:
        row.finished_at = now()


def _count_running(session: Session) -> int:
    running = TuningJobRow.status == JobStatus.RUNNING
    return session.scalar(select(func.count()).select_from(TuningJobRow).where(running)) or 0


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _made_with(session: Session, key_sha256: str) -> TuningJobRow | None:
    query = select(TuningJobRow).where(TuningJobRow.key_sha256 == key_sha256)
    return session.scalars(query).one_or_none()


def _same_job(known: TuningJobRow, spec: JobSpec) -> Job:
    if known.spec != spec:
        raise Conflict(
            f"the idempotency key was used for job {known.id}, which has another spec: "
            "send a new key with a new spec"
        )
    return as_job(known)
