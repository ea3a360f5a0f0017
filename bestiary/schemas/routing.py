"""What was asked of the router, and what it decided."""

from __future__ import annotations

from enum import StrEnum
from random import random
from typing import Annotated

from pydantic import Field

from bestiary.schemas.base import Frozen
from bestiary.schemas.text import Adapter


class Tier(StrEnum):
    """Size tiers, smallest first."""

    GECKO = "gecko"
    OTTER = "otter"
    BISON = "bison"
    UNICORN = "unicorn"


class RouteReason(StrEnum):
    """Why this tier and model; sent as `x-bestiary-route-reason`."""

    REQUESTED_TIER = "requested-tier"
    REQUESTED_MODEL = "requested-model"
    ALIAS = "alias"
    AUTO = "auto"
    FALLBACK_NOT_INSTALLED = "fallback-not-installed"
    SPILLOVER_OVERLOADED = "spillover-overloaded"
    SPILLOVER_COLD = "spillover-cold"
    SPILLOVER_QUEUE = "spillover-queue"
    CANARY = "canary"  # the candidate of the asked name's canary


class RouteRequest(Frozen):
    """`model` is a tier, `auto`, an alias or a card id. `strict` forbids fallback and spillover.

    With a `task`, `auto` is the first model of the profile that can do it, and any other
    model is refused that cannot; of translators the first that has the languages.

    A canary splits requests by `draw`, so that one request goes to one side however often
    it is resolved; requests of the same `stickiness` go to one side all of them.
    """

    model: str
    family: str  # of `garden.card.Family`
    task: str | None = None  # of `garden.tasks.Task`; None: what all of the family can
    source_language: str | None = None  # ISO 639-1; None: any
    target_language: str | None = None
    strict: bool = False
    prompt_size: int = 0  # characters; `auto` weighs it
    stickiness: str = ""  # the caller's end user or conversation; empty: by `draw`
    draw: Annotated[float, Field(ge=0, lt=1)] = Field(default_factory=random)


class RouteDecision(Frozen):
    """`deployment` is the profile's name of the Serve application that answers."""

    asked: str
    tier: str | None  # None where a card was asked for by its id
    model: str  # card id
    deployment: str
    reason: RouteReason
    adapter: Adapter | None = None  # that makes the deployment's model the one of `model`
