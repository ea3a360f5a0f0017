"""The tables, as SQLAlchemy sees them; their history is in `migrations/versions`."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bestiary.schemas.publishing import CanaryRules, PublishedModel
from bestiary.schemas.tuning import (
    DataReport,
    Evaluation,
    JobError,
    JobSpec,
    Problem,
    TrainingPlan,
)
from bestiary.state.stored import Stored, UtcDateTime

# Counts up as rows are made: the order of a list, and what its pages are cut by.
Number = BigInteger().with_variant(Integer, "sqlite")
ID_CHARACTERS = 40
NAME_CHARACTERS = 255


class Table(DeclarativeBase):
    # Named constraints: SQLite can alter a table only through a copy that names them.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class ApiKeyRow(Table):
    """One API key. The secret itself is never stored."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    prefix: Mapped[str] = mapped_column(String(16))  # the secret's first characters, to tell keys
    secret_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    requests_per_minute: Mapped[int | None] = mapped_column(Integer)  # None: the profile's limit
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class CounterRow(Table):
    """A number that grows with every change of something; its row is also that thing's lock."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(String(ID_CHARACTERS), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class FileRow(Table):
    """One uploaded or written file; its bytes are in a folder, under the id."""

    __tablename__ = "files"

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), unique=True)
    filename: Mapped[str] = mapped_column(String(NAME_CHARACTERS))
    purpose: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    report: Mapped[DataReport | None] = mapped_column(Stored(DataReport))
    problems: Mapped[tuple[Problem, ...]] = mapped_column(Stored(tuple[Problem, ...]))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class TuningJobRow(Table):
    """One tuning job as it is now."""

    __tablename__ = "tuning_jobs"

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), unique=True)
    key_sha256: Mapped[str | None] = mapped_column(String(64), unique=True)  # idempotency key
    status: Mapped[str] = mapped_column(String(16), index=True)
    spec: Mapped[JobSpec] = mapped_column(Stored(JobSpec))
    plan: Mapped[TrainingPlan | None] = mapped_column(Stored(TrainingPlan))
    # Of the spec, where a query needs them.
    priority: Mapped[int] = mapped_column(Integer)
    training_file: Mapped[str] = mapped_column(Text)
    validation_file: Mapped[str | None] = mapped_column(Text)
    attempt: Mapped[int] = mapped_column(Integer)
    completed_steps: Mapped[int] = mapped_column(Integer)
    trained_tokens: Mapped[int] = mapped_column(BigInteger)
    evaluation: Mapped[Evaluation | None] = mapped_column(Stored(Evaluation))
    fine_tuned_model: Mapped[str | None] = mapped_column(Text)
    result_files: Mapped[tuple[str, ...]] = mapped_column(Stored(tuple[str, ...]))
    error: Mapped[JobError | None] = mapped_column(Stored(JobError))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class TuningJobMetadataRow(Table):
    """One pair of a job's metadata, so that jobs are found by it."""

    __tablename__ = "tuning_job_metadata"

    job: Mapped[str] = mapped_column(ForeignKey("tuning_jobs.id"), primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class TuningEventRow(Table):
    """What a job told, or the metrics of one of its steps."""

    __tablename__ = "tuning_events"
    __table_args__ = (
        UniqueConstraint("job", "step"),
        Index("ix_tuning_events_job", "job", "number"),
    )

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), unique=True)
    job: Mapped[str] = mapped_column(ForeignKey("tuning_jobs.id"))
    step: Mapped[int | None] = mapped_column(Integer)  # of metrics; None: a message
    level: Mapped[str] = mapped_column(String(16))
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, float | int | str | None]] = mapped_column(
        Stored(dict[str, float | int | str | None])
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class TuningCheckpointRow(Table):
    """A step whose training state is on disk."""

    __tablename__ = "tuning_checkpoints"
    __table_args__ = (UniqueConstraint("job", "step"),)

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), unique=True)
    job: Mapped[str] = mapped_column(ForeignKey("tuning_jobs.id"))
    step: Mapped[int] = mapped_column(Integer)
    metrics: Mapped[dict[str, float]] = mapped_column(Stored(dict[str, float]))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class PublishedModelRow(Table):
    """One published model. A deleted one stays, so that its id is never given to another."""

    __tablename__ = "published_models"

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    id: Mapped[str] = mapped_column(String(NAME_CHARACTERS), unique=True)
    model: Mapped[PublishedModel] = mapped_column(Stored(PublishedModel))
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class CanaryRow(Table):
    """One alias whose traffic is split, with what each side did in the present step."""

    __tablename__ = "canaries"

    alias: Mapped[str] = mapped_column(String(NAME_CHARACTERS), primary_key=True)
    base: Mapped[str] = mapped_column(String(NAME_CHARACTERS))
    candidate: Mapped[str] = mapped_column(String(NAME_CHARACTERS))
    weight: Mapped[float] = mapped_column(Float)
    state: Mapped[str] = mapped_column(String(16))
    rules: Mapped[CanaryRules] = mapped_column(Stored(CanaryRules))
    step: Mapped[int] = mapped_column(Integer)
    step_began_at: Mapped[datetime] = mapped_column(UtcDateTime)
    base_requests: Mapped[int] = mapped_column(BigInteger)
    base_errors: Mapped[int] = mapped_column(BigInteger)
    base_first_token_s: Mapped[float] = mapped_column(Float)
    base_timed: Mapped[int] = mapped_column(BigInteger)
    candidate_requests: Mapped[int] = mapped_column(BigInteger)
    candidate_errors: Mapped[int] = mapped_column(BigInteger)
    candidate_first_token_s: Mapped[float] = mapped_column(Float)
    candidate_timed: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
