"""What tests of the router publish: tuned models and canaries, without a tuning job."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from router_fakes import NAMES, SMALL, card, profile, served

from bestiary.garden.card import Family
from bestiary.profile.applications import GatewayArgs
from bestiary.profile.models import Profile
from bestiary.profile.published import Laid, lay_published
from bestiary.schemas.publishing import Canary, CanaryState, PublishedModel
from bestiary.schemas.tuning import (
    Hyperparameters,
    Lineage,
    Lora,
    Method,
    PublishedKind,
    TrainingPlan,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
HOME = Path("/home-of-tests")
TUNED = f"ft:{SMALL}:pets:1a2b3c4d"


def profile_with_adapters(*, rank: int = 16, deployment: str = "small-fp32") -> Profile:
    raw = profile().model_dump(mode="json")
    raw["deployments"][deployment]["text"] |= {"adapter_slots": 8, "adapter_rank": rank}
    return Profile.model_validate(raw)


def gateway_args(taking: Profile | None = None) -> GatewayArgs:
    return GatewayArgs(profile=taking or profile_with_adapters(), served=served(*NAMES))


def published(
    model_id: str = TUNED,
    *,
    base: str = SMALL,
    kind: PublishedKind = PublishedKind.ADAPTER,
    family: Family = Family.TEXT,
    rank: int = 16,
    min_replicas: int = 0,
) -> PublishedModel:
    plan = TrainingPlan(
        steps=1,
        epochs=1.0,
        batch_size=1,
        micro_batch_size=1,
        learning_rate=1e-4,
        warmup_steps=0,
        max_tokens=128,
        evaluate_every=1,
        checkpoint_every=1,
        training_examples=1,
        held_out_examples=1,
        training_tokens=1,
        estimated_seconds=1.0,
    )
    lineage = Lineage(
        job="ftjob-1",
        base=base,
        base_revision="1",
        training_sha256="0" * 64,
        validation_sha256=None,
        code_version="1",
        method=Method.SUPERVISED,
        hyperparameters=Hyperparameters(lora=Lora(rank=rank)),
        plan=plan,
        seed=0,
        evaluation=None,
        trained_tokens=1,
        training_seconds=1.0,
        created_at=NOW,
    )
    return PublishedModel(
        card=card(model_id, family),
        base=base,
        kind=kind,
        folder=f"tuned/{model_id[-8:]}",
        lineage=lineage,
        min_replicas=min_replicas,
        created_at=NOW,
    )


def whole(model_id: str = TUNED, **changes: object) -> PublishedModel:
    return published(model_id, kind=PublishedKind.MODEL, **changes)  # type: ignore[arg-type]


def laid(*models: PublishedModel, over: Profile | None = None) -> Laid:
    return lay_published(over or profile_with_adapters(), served(*NAMES), models, HOME)


def canary(
    alias: str = "pets",
    base: str = SMALL,
    candidate: str = TUNED,
    *,
    weight: float = 0.25,
    state: CanaryState = CanaryState.RUNNING,
) -> Canary:
    return Canary(
        alias=alias,
        base=base,
        candidate=candidate,
        weight=weight,
        state=state,
        step_began_at=NOW,
        created_at=NOW,
        updated_at=NOW,
    )
