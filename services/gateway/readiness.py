"""Whether every tier that should answer can. What is not installed is told, not waited for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from bestiary.profile.applications import GatewayArgs
from services.gateway.dispatch import Dispatch
from services.router.loads import DeploymentLoad, DeploymentState, Loads
from services.router.offers import OfferKind

_ANSWERS = frozenset({DeploymentState.RUNNING, DeploymentState.OVERLOADED})


class Readiness:
    def __init__(self, args: GatewayArgs, dispatch: Dispatch, loads: Callable[[], Loads]) -> None:
        self._args = args
        self._dispatch = dispatch
        self._loads = loads

    def report(self) -> tuple[bool, dict[str, object]]:
        """Ready or not, and the body of /readyz."""
        loads = self._loads()
        tiers = {
            model.id: {
                "deployment": model.deployment,
                "model": model.card.id,
                "ready": self._answers(model.deployment, loads),
            }
            for model in self._dispatch.models()
            if model.kind is OfferKind.TIER
        }
        deployments = {
            served.deployment: {
                "model": served.card.id,
                "ready": self._answers(served.deployment, loads),
                **_load_json(loads.get(served.deployment)),
            }
            for served in self._args.served
        }
        ready = bool(deployments) and all(one["ready"] for one in deployments.values())
        return ready, {
            "ready": ready,
            "tiers": tiers,
            "deployments": deployments,
            "absent": dict(self._args.absent),
        }

    def _answers(self, deployment: str, loads: Loads) -> bool:
        load = loads.get(deployment)
        state = load.state if load is not None else DeploymentState.COLD
        # What may scale to zero answers too: its first request wakes it.
        to_zero = self._args.profile.deployments[deployment].scaling.min_replicas == 0
        return state in _ANSWERS or (to_zero and state is DeploymentState.COLD)


def _load_json(load: DeploymentLoad | None) -> dict[str, object]:
    if load is None:
        return {"state": DeploymentState.COLD.value, "replicas": 0}
    found: dict[str, object] = {"state": load.state.value, "replicas": load.replicas}
    if load.replica is not None:
        found["load"] = asdict(load.replica)
    return found
