"""Specs, plans and a database, as tests of tuning need them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bestiary.schemas.tuning import JobSpec, Method, TrainingPlan
from bestiary.state.database import Database
from bestiary.state.upgrade import upgrade


@contextmanager
def database_in(folder: Path) -> Iterator[Database]:
    url = f"sqlite:///{folder / 'bestiary.db'}"
    upgrade(url)
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


def spec_of(**fields: object) -> JobSpec:
    given = {
        "base": "smollm2-135m-instruct",
        "method": Method.SUPERVISED,
        "training_file": "file-0",
        **fields,
    }
    return JobSpec.model_validate(given)


def plan_of_steps(steps: int = 10, **fields: object) -> TrainingPlan:
    given = {
        "steps": steps,
        "epochs": 1.0,
        "batch_size": 2,
        "micro_batch_size": 1,
        "learning_rate": 1e-3,
        "warmup_steps": 1,
        "max_tokens": 64,
        "evaluate_every": 5,
        "checkpoint_every": 2,
        "training_examples": 20,
        "held_out_examples": 4,
        "training_tokens": 400,
        "estimated_seconds": 1.0,
        **fields,
    }
    return TrainingPlan.model_validate(given)
