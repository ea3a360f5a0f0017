"""Files, tuning jobs, published models, canaries, and the counters beside them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("value", sa.BigInteger(), nullable=False),
    )
    names = ("tuning_jobs", "published_models", "canaries")
    op.bulk_insert(counters, [{"name": name, "value": 0} for name in names])
    op.create_table(
        "files",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("purpose", sa.String(40), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("report", sa.Text(), nullable=True),
        sa.Column("problems", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.UniqueConstraint("id", name="uq_files_id"),
    )
    _tuning_jobs()
    op.create_table(
        "published_models",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("id", sa.String(255), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("deleted_at", _TIME, nullable=True),
        sa.UniqueConstraint("id", name="uq_published_models_id"),
    )
    op.create_table(
        "canaries",
        sa.Column("alias", sa.String(255), primary_key=True),
        sa.Column("base", sa.String(255), nullable=False),
        sa.Column("candidate", sa.String(255), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("step_began_at", _TIME, nullable=False),
        *_counts("base"),
        *_counts("candidate"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
    )


def _tuning_jobs() -> None:
    op.create_table(
        "tuning_jobs",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("key_sha256", sa.String(64), nullable=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("training_file", sa.Text(), nullable=False),
        sa.Column("validation_file", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("completed_steps", sa.Integer(), nullable=False),
        sa.Column("trained_tokens", sa.BigInteger(), nullable=False),
        sa.Column("evaluation", sa.Text(), nullable=True),
        sa.Column("fine_tuned_model", sa.Text(), nullable=True),
        sa.Column("result_files", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("started_at", _TIME, nullable=True),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.UniqueConstraint("id", name="uq_tuning_jobs_id"),
        sa.UniqueConstraint("key_sha256", name="uq_tuning_jobs_key_sha256"),
    )
    op.create_index("ix_tuning_jobs_status", "tuning_jobs", ["status"])
    op.create_table(
        "tuning_job_metadata",
        sa.Column("job", sa.String(40), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
        _of_a_job("tuning_job_metadata"),
    )
    op.create_table(
        "tuning_events",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("job", sa.String(40), nullable=False),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.UniqueConstraint("id", name="uq_tuning_events_id"),
        sa.UniqueConstraint("job", "step", name="uq_tuning_events_job"),
        _of_a_job("tuning_events"),
    )
    op.create_index("ix_tuning_events_job", "tuning_events", ["job", "number"])
    op.create_table(
        "tuning_checkpoints",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("job", sa.String(40), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.UniqueConstraint("id", name="uq_tuning_checkpoints_id"),
        sa.UniqueConstraint("job", "step", name="uq_tuning_checkpoints_job"),
        _of_a_job("tuning_checkpoints"),
    )


def _of_a_job(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["job"], ["tuning_jobs.id"], name=f"fk_{table}_job_tuning_jobs")


def _counts(arm: str) -> list[sa.Column[float] | sa.Column[int]]:
    return [
        sa.Column(f"{arm}_requests", sa.BigInteger(), nullable=False),
        sa.Column(f"{arm}_errors", sa.BigInteger(), nullable=False),
        sa.Column(f"{arm}_first_token_s", sa.Float(), nullable=False),
        sa.Column(f"{arm}_timed", sa.BigInteger(), nullable=False),
    ]


def downgrade() -> None:
    op.drop_table("canaries")
    op.drop_table("published_models")
    op.drop_table("tuning_checkpoints")
    op.drop_table("tuning_events")
    op.drop_table("tuning_job_metadata")
    op.drop_table("tuning_jobs")
    op.drop_table("files")
    op.drop_table("counters")
