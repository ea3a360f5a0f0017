"""What was asked of the router, and what it decided."""

from __future__ import annotations

from enum import StrEnum

from bestiary.schemas.base import Frozen


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


class RouteRequest(Frozen):
    """`model` is a tier, `auto`, an alias or a card id. `strict` forbids fallback and spillover."""

    model: str
    family: str  # "text" or "encoder"
    strict: bool = False
    prompt_size: int = 0  # characters; `auto` weighs it


class RouteDecision(Frozen):
    """`deployment` is the profile's name of the Serve application that answers."""

    asked: str
    tier: str | None  # None where a card was asked for by its id
    model: str  # card id
    deployment: str
    reason: RouteReason
