"""The native API of tuning on the wire: what OpenAI's API has no word for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bestiary.schemas.publishing import Canary, CanaryRules, PublishedModel
from services.gateway.dialects.openai_files_wire import report_json
from services.gateway.dialects.openai_fine_tuning_reply import plan_json
from services.tuning.service import Estimate

Weight = Annotated[float, Field(ge=0, le=1)]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StartCanary(_Wire):
    """`base` may be left out where the alias means a model already."""

    alias: Annotated[str, Field(min_length=1, max_length=128)]
    candidate: str
    base: str | None = None
    weight: Weight | None = None  # of the candidate at first; None: the first of the rules
    rules: CanaryRules = CanaryRules()


class MoveCanary(_Wire):
    """Exactly one of these."""

    weight: Weight | None = None
    step: Annotated[int, Field(ge=0)] | None = None  # place in the rules' weights
    promote: Literal[True] | None = None  # the candidate answers everything
    rollback: Literal[True] | None = None  # the base answers everything

    @model_validator(mode="after")
    def _one(self) -> MoveCanary:
        if len(self.model_fields_set) != 1:
            raise ValueError("give exactly one of weight, step, promote and rollback")
        return self


NATIVE_TUNING_BODIES: tuple[type[BaseModel], ...] = (StartCanary, MoveCanary)


def estimate_json(estimate: Estimate) -> dict[str, object]:
    """Time and cost are the plan's."""
    validation = estimate.validation
    return {
        "object": "tuning.estimate",
        "model": estimate.spec.base,
        "method": estimate.spec.method.value,
        "plan": plan_json(estimate.plan),
        "training": report_json(estimate.training),
        "validation": None if validation is None else report_json(validation),
        "warnings": list(estimate.warnings),
    }


def metrics_json(job: str, steps: Sequence[Mapping[str, object]]) -> dict[str, object]:
    return {"object": "list", "job": job, "data": steps, "has_more": False}


def model_json(model: PublishedModel) -> dict[str, object]:
    """A published model with where it comes from."""
    return {
        "id": model.id,
        "object": "tuning.model",
        "created_at": int(model.created_at.timestamp()),
        "base": model.base,
        "kind": model.kind.value,
        "min_replicas": model.min_replicas,
        "lineage": model.lineage.model_dump(mode="json"),
        "card": model.card.model_dump(mode="json", exclude_defaults=True),
    }


def canary_json(canary: Canary) -> dict[str, object]:
    """With the figures that its rules compare."""
    return {
        "object": "tuning.canary",
        **canary.model_dump(mode="json", exclude={"base_counts", "candidate_counts"}),
        **{
            name: {
                **counts.model_dump(mode="json"),
                "error_rate": counts.error_rate,
                "mean_first_token_s": counts.mean_first_token_s,
            }
            for name, counts in (
                ("base_counts", canary.base_counts),
                ("candidate_counts", canary.candidate_counts),
            )
        },
    }
