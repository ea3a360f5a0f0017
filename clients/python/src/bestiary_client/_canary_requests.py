"""What callers say -> the native wire under /v1/tuning/canaries. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote

from typing_extensions import TypedDict

from bestiary_client._canary_results import Canary
from bestiary_client._json import JsonObject
from bestiary_client._requests import Call, refuse_unknown

CANARIES = "/v1/tuning/canaries"


class CanaryOptions(TypedDict, total=False):
    """Rules; what is left out (or None) is the platform's. See `CanaryRules`."""

    weights: Sequence[float] | None
    min_requests: int | None
    min_step_s: float | None
    max_error_increase: float | None
    max_latency_ratio: float | None
    metric: str | None
    automatic: bool | None


def start_call(
    alias: str, candidate: str, base: str | None, weight: float | None, options: CanaryOptions
) -> Call:
    refuse_unknown(options, CanaryOptions)
    rules = {name: value for name, value in options.items() if value is not None}
    weights = options.get("weights")
    if weights is not None:
        rules["weights"] = list(weights)
    body: JsonObject = {"alias": alias, "candidate": candidate}
    if base is not None:
        body["base"] = base
    if weight is not None:
        body["weight"] = weight
    if rules:
        body["rules"] = rules
    return Call("POST", CANARIES, body)


def list_canaries_call() -> Call:
    return Call("GET", CANARIES)


def canary_call(method: Literal["GET", "DELETE"], canary: str | Canary) -> Call:
    return Call(method, _path(canary))


def move_call(canary: str | Canary, body: JsonObject) -> Call:
    return Call("POST", f"{_path(canary)}/move", body)


def moved(weight: float | None, step: int | None) -> JsonObject:
    """Raises TypeError unless one of the two is given."""
    if (weight is None) == (step is None):
        raise TypeError("give a weight or a step")
    return {"step": step} if weight is None else {"weight": weight}


def _path(canary: str | Canary) -> str:
    return f"{CANARIES}/{quote(canary.alias if isinstance(canary, Canary) else canary, safe='')}"
