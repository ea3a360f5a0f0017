"""Where one request goes next, after what its earlier attempts ran into. Sends nothing itself.

A full queue sends it to the next candidate; a replica that died, or a deployment that
is not running, once to somebody else. Anything else would fail again, and is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bestiary.errors import BestiaryError, Overloaded, Unavailable
from bestiary.schemas.routing import RouteDecision, RouteRequest
from services.router.loads import DeploymentLoad, DeploymentState, Loads
from services.router.policy import RoutingPolicy


class Attempts:
    """Bounded: each Overloaded takes a deployment out, and one Unavailable is forgiven."""

    def __init__(
        self, policy: RoutingPolicy, route: RouteRequest, loads: Callable[[], Loads]
    ) -> None:
        self._policy = policy
        self._route = route
        self._loads = loads
        self._learnt: dict[str, DeploymentLoad] = {}
        self._forgiven: Unavailable | None = None

    def asked(self) -> RouteDecision:
        """Who would answer while nothing is loaded."""
        return self._policy.resolve(self._route)

    def next(self) -> RouteDecision:
        """Raises what the policy raises, and the earlier failure where nobody else is there."""
        try:
            return self._policy.decide(self._route, {**self._loads(), **self._learnt})
        except Unavailable:
            if self._forgiven is not None:
                raise self._forgiven from None
            raise

    def failed(self, decision: RouteDecision, error: BestiaryError) -> None:
        """Takes note for `next`, or raises `error` where another attempt makes no sense."""
        if isinstance(error, Overloaded):
            full = DeploymentState.OVERLOADED
            self._learn(decision, full, retry_after_s=error.retry_after_s)
        elif isinstance(error, Unavailable) and self._forgiven is None:
            self._forgiven = error
            if self._others(decision) == 0:
                self._learn(decision, DeploymentState.LOST)
        else:
            raise error

    def _others(self, decision: RouteDecision) -> int:
        """Replicas of the same deployment besides the one that failed."""
        load = self._loads().get(decision.deployment)
        return max(0, load.replicas - 1) if load else 0

    def _learn(
        self, decision: RouteDecision, state: DeploymentState, retry_after_s: float = 1.0
    ) -> None:
        seen = self._loads().get(decision.deployment, DeploymentLoad(state))
        self._learnt[decision.deployment] = replace(seen, state=state, retry_after_s=retry_after_s)
