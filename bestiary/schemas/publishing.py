"""Tuned models that are served: what they are, and how traffic is moved onto them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, field_validator

from bestiary.garden.card import ModelCard
from bestiary.schemas.base import Frozen
from bestiary.schemas.tuning import Lineage, PublishedKind


class PublishedModel(Frozen):
    """Immutable. Its card's id is `ft:<base>:<suffix>:<id>`."""

    card: ModelCard
    base: str  # card id
    kind: PublishedKind
    folder: str  # under the home: what peft saved, or a whole model
    lineage: Lineage
    min_replicas: Annotated[int, Field(ge=0)] = 0
    created_at: datetime

    @property
    def id(self) -> str:
        return self.card.id


class CanaryState(StrEnum):
    RUNNING = "running"
    PROMOTED = "promoted"  # the candidate answers everything
    ROLLED_BACK = "rolled_back"  # the base answers everything


class CanaryRules(Frozen):
    """When the candidate gets more traffic, and when it gets none any more."""

    weights: tuple[float, ...] = (0.05, 0.25, 0.5, 1.0)  # the candidate's share, step by step
    min_requests: Annotated[int, Field(ge=1)] = 50  # of the candidate before a step is judged
    min_step_s: Annotated[float, Field(ge=0)] = 60.0
    max_error_increase: Annotated[float, Field(ge=0, le=1)] = 0.02  # of the share that fails
    max_latency_ratio: Annotated[float, Field(gt=0)] = 1.5  # mean seconds to the first token
    metric: str | None = None  # of the candidate's evaluation, compared with its base's
    automatic: bool = True  # False: only a person moves it

    @field_validator("weights")
    @classmethod
    def _rising(cls, weights: tuple[float, ...]) -> tuple[float, ...]:
        if not weights or list(weights) != sorted(set(weights)) or weights[0] <= 0:
            raise ValueError("weights must rise from over 0")
        if weights[-1] != 1.0:
            raise ValueError("the last weight is 1.0: the candidate answers everything")
        return weights


class ArmCounts(Frozen):
    """What one side of a canary has done in the present step."""

    requests: int = 0
    errors: int = 0  # of the platform (5xx and broken streams), not of the caller
    first_token_s: float = 0.0  # sum over requests that had one
    timed: int = 0  # requests in that sum

    @property
    def error_rate(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    @property
    def mean_first_token_s(self) -> float | None:
        return self.first_token_s / self.timed if self.timed else None


class Canary(Frozen):
    """An alias whose traffic is split between two models."""

    alias: str
    base: str  # any name that can be asked for
    candidate: str
    weight: Annotated[float, Field(ge=0, le=1)]  # the candidate's share of requests
    state: CanaryState
    rules: CanaryRules = CanaryRules()
    step: int = 0  # place in `rules.weights`
    step_began_at: datetime
    base_counts: ArmCounts = ArmCounts()
    candidate_counts: ArmCounts = ArmCounts()
    reason: str = ""  # of the last move
    created_at: datetime
    updated_at: datetime
