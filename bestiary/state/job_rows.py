"""Rows of tuning jobs: made, found, locked, and turned into jobs."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from bestiary.errors import InvalidRequest, NotFound, Superseded
from bestiary.schemas.tuning import Job, JobSpec, JobStatus, TrainingPlan
from bestiary.state.names import new_id, storable
from bestiary.state.stored import now
from bestiary.state.tables import TuningJobMetadataRow, TuningJobRow

MAX_KEY = 64  # characters of metadata, as OpenAI
MAX_VALUE = 512


def new_job(spec: JobSpec, plan: TrainingPlan, key_sha256: str | None) -> TuningJobRow:
    return TuningJobRow(
        id=new_id("ftjob"),
        key_sha256=key_sha256,
        status=JobStatus.QUEUED,
        spec=spec,
        plan=plan,
        priority=spec.priority,
        training_file=spec.training_file,
        validation_file=spec.validation_file,
        attempt=0,
        completed_steps=0,
        trained_tokens=0,
        evaluation=None,
        fine_tuned_model=None,
        result_files=(),
        error=None,
        created_at=now(),
        started_at=None,
        finished_at=None,
    )


def metadata_of(row: TuningJobRow) -> list[TuningJobMetadataRow]:
    pairs = row.spec.metadata.items()
    return [TuningJobMetadataRow(job=row.id, key=key, value=value) for key, value in pairs]


def check_storable(spec: JobSpec) -> None:
    """Raises InvalidRequest for text that no database holds."""
    for field, name in (
        ("training_file", spec.training_file),
        ("validation_file", spec.validation_file or ""),
    ):
        if not storable(name):
            raise InvalidRequest(f"{field} is no file's id", field)
    check_metadata(spec.metadata)


def check_metadata(metadata: Mapping[str, str]) -> None:
    for key, value in metadata.items():
        if len(key) > MAX_KEY or len(value) > MAX_VALUE or not storable(key + value):
            raise InvalidRequest(
                f"metadata has printable keys of up to {MAX_KEY} characters and values of up to "
                f"{MAX_VALUE}",
                "metadata",
            )


def found_job(session: Session, id: str, *, locked: bool = False) -> TuningJobRow:
    """Raises NotFound."""
    query = select(TuningJobRow).where(TuningJobRow.id == id)
    if locked:
        query = query.with_for_update()
    row = session.scalars(query).one_or_none() if storable(id) else None
    if row is None:
        raise NotFound(f"no tuning job has the id {id!r}")
    return row


def own_job(session: Session, id: str, attempt: int, *, paused_too: bool = False) -> TuningJobRow:
    """The row, locked, for the trainer of this attempt. Raises NotFound, Superseded."""
    row = found_job(session, id, locked=True)
    allowed = {JobStatus.RUNNING} | ({JobStatus.PAUSED} if paused_too else set())
    if row.status not in allowed or row.attempt != attempt:
        raise Superseded(
            f"job {id} is {row.status} in attempt {row.attempt}: attempt {attempt} is over"
        )
    return row


def as_job(row: TuningJobRow) -> Job:
    return Job(
        id=row.id,
        spec=row.spec,
        status=JobStatus(row.status),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        attempt=row.attempt,
        completed_steps=row.completed_steps,
        trained_tokens=row.trained_tokens,
        plan=row.plan,
        evaluation=row.evaluation,
        fine_tuned_model=row.fine_tuned_model,
        result_files=row.result_files,
        error=row.error,
    )
