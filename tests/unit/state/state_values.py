"""Values for tests of the stores."""

from __future__ import annotations

from datetime import UTC, datetime

from bestiary.garden.card import Family, ModelCard
from bestiary.schemas.publishing import PublishedModel
from bestiary.schemas.tuning import (
    Evaluation,
    Hyperparameters,
    JobSpec,
    Lineage,
    Method,
    PublishedKind,
    TrainingPlan,
)

PLAN = TrainingPlan(
    steps=20,
    epochs=2.0,
    batch_size=8,
    micro_batch_size=4,
    learning_rate=1e-4,
    warmup_steps=1,
    max_tokens=128,
    evaluate_every=10,
    checkpoint_every=5,
    training_examples=80,
    held_out_examples=8,
    training_tokens=4000,
    estimated_seconds=30.0,
)
EVALUATION = Evaluation(
    examples=8, base={"loss": 3.5}, tuned={"loss": float("inf")}, reasons=("loss: 3.5 to inf",)
)


def spec(**changes: object) -> JobSpec:
    asked = {
        "base": "smollm2",
        "method": Method.SUPERVISED,
        "training_file": "file-a",
    }
    return JobSpec.model_validate(asked | changes)


def published(id: str = "ft:smollm2:pets:1a2b", *, tokens: int = 8000) -> PublishedModel:
    made_at = datetime(2026, 1, 2, tzinfo=UTC)
    return PublishedModel(
        card=ModelCard.model_validate(
            {
                "id": id,
                "family": Family.TEXT,
                "architecture": "LlamaForCausalLM",
                "title": "Tuned",
                "parameters": 1000,
                "context_length": 128,
                "license": "Apache-2.0",
                "provenance": "a tuning job",
                "sources": [{"url": "file:///nowhere"}],
            }
        ),
        base="smollm2",
        kind=PublishedKind.ADAPTER,
        folder="tuned/1a2b",
        lineage=Lineage(
            job="ftjob-1",
            base="smollm2",
            base_revision="1",
            training_sha256="0" * 64,
            validation_sha256=None,
            code_version="1",
            method=Method.SUPERVISED,
            hyperparameters=Hyperparameters(),
            plan=PLAN,
            seed=0,
            evaluation=EVALUATION,
            trained_tokens=tokens,
            training_seconds=1.0,
            created_at=made_at,
        ),
        created_at=made_at,
    )
