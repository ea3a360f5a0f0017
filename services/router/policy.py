"""Which deployment answers: a request and loads in, a decision out. Pure: no Ray, no clock.

The candidates come in the operator's order (`candidates.py`). The first one that runs
and is within its queue target answers; where all are over it, the first that takes
requests at all does: the target is a wish, not a bound. A model asked for by its own
name goes to the least loaded of its deployments instead.

The recorded reason is why the first candidate did not answer, else why it is the first.
`strict` leaves only the asked tier, so that there is nobody to spill over to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bestiary.errors import Overloaded, Unavailable
from bestiary.garden.card import ModelCard
from bestiary.profile.applications import ServedModel
from bestiary.profile.models import Profile
from bestiary.schemas.publishing import Canary
from bestiary.schemas.routing import RouteDecision, RouteReason, RouteRequest
from services.router.candidates import Candidate, Candidates
from services.router.loads import DeploymentLoad, DeploymentState, Loads
from services.router.names import Names
from services.router.offers import OfferedModel, Offers
from services.router.splits import Arm, Splits

COLD_RETRY_AFTER_S = 5.0  # a replica takes some seconds to start
_NEVER_SEEN = DeploymentLoad(DeploymentState.COLD, replicas=0)
_SPILLOVER = {
    DeploymentState.RUNNING: RouteReason.SPILLOVER_QUEUE,  # over its queue target
    DeploymentState.OVERLOADED: RouteReason.SPILLOVER_OVERLOADED,
    DeploymentState.COLD: RouteReason.SPILLOVER_COLD,
    DeploymentState.LOST: RouteReason.SPILLOVER_COLD,
}


class RoutingPolicy:
    """The rules of one profile. `absent` tells why a deployment or published model is not there."""

    def __init__(
        self,
        profile: Profile,
        served: tuple[ServedModel, ...],
        absent: Mapping[str, str],
        canaries: Iterable[Canary] = (),
    ) -> None:
        self._profile = profile
        names = Names(profile, served, absent)
        self._splits = Splits(names, canaries)
        self._candidates = Candidates(profile, names, self._splits)
        self._offers = Offers(profile, names, self._splits, self._candidates)

    def decide(self, route: RouteRequest, loads: Loads) -> RouteDecision:
        """Who answers `route` under `loads`.

        Raises ModelNotFound or CardNotInstalled (nothing by that name is served),
        InvalidRequest (a model of another family), Overloaded (everyone who may answer
        is full), Unavailable (nobody who may answer runs).
        """
        line = self._in_order(self._candidates.of(route), loads)
        ready = [one for one in line if _state(one, loads) is DeploymentState.RUNNING]
        prompt = [one for one in ready if self._within_target(one, loads)]
        if chosen := next(iter(prompt or ready), None):
            return _decision(route, chosen, _reason(chosen, line[0], loads))
        if self._wakes(line[0], loads):
            return _decision(route, line[0], line[0].reason)
        raise _refusal(route, line, loads)

    def resolve(self, route: RouteRequest) -> RouteDecision:
        """Who answers while nothing is loaded. Raises what `decide` does, but for load."""
        first = self._candidates.of(route)[0]
        return _decision(route, first, first.reason)

    def knows(self, name: str) -> bool:
        """False: nothing has that name, here and now."""
        return self._splits.knows(name)

    def arm(self, route: RouteRequest) -> Arm | None:
        """The side of a running canary that a request is on."""
        return self._splits.arm(route)

    def card(self, name: str) -> ModelCard:
        """The card behind any name. Raises ModelNotFound or CardNotInstalled."""
        return self._offers.get(name).card

    def models(self) -> tuple[OfferedModel, ...]:
        """`auto`, tiers, cards and aliases that someone answers, in that order."""
        return self._offers.every()

    def _in_order(self, line: tuple[Candidate, ...], loads: Loads) -> tuple[Candidate, ...]:
        if line[0].tier is not None:
            return line
        return tuple(sorted(line, key=lambda one: _busyness(_load(one, loads))))  # stable

    def _within_target(self, one: Candidate, loads: Loads) -> bool:
        target = self._profile.deployments[one.model.deployment].queue.target_wait_s
        return _load(one, loads).queue_wait_s <= target

    def _wakes(self, one: Candidate, loads: Loads) -> bool:
        """A deployment that was scaled to zero starts when a request waits for it."""
        scaling = self._profile.deployments[one.model.deployment].scaling
        return scaling.min_replicas == 0 and _state(one, loads) is DeploymentState.COLD


def _load(one: Candidate, loads: Loads) -> DeploymentLoad:
    return loads.get(one.model.deployment, _NEVER_SEEN)


def _state(one: Candidate, loads: Loads) -> DeploymentState:
    return _load(one, loads).state


def _busyness(load: DeploymentLoad) -> tuple[float, float]:
    return load.queue_wait_s, load.pressure


def _reason(chosen: Candidate, first: Candidate, loads: Loads) -> RouteReason:
    if chosen is first or chosen.tier is None:  # the same model elsewhere is no spillover
        return chosen.reason
    return _SPILLOVER[_state(first, loads)]


def _decision(route: RouteRequest, chosen: Candidate, reason: RouteReason) -> RouteDecision:
    return RouteDecision(
        asked=route.model,
        tier=chosen.tier,
        model=chosen.model.card.id,
        deployment=chosen.model.deployment,
        reason=reason,
        adapter=chosen.model.adapter,
    )


def _refusal(
    route: RouteRequest, line: tuple[Candidate, ...], loads: Loads
) -> Overloaded | Unavailable:
    tried = ", ".join(f"{one.model.deployment} is {_state(one, loads)}" for one in line)
    strict = "; strict forbids a stand-in" if route.strict and line[0].tier is not None else ""
    full = [load for one in line if (load := _load(one, loads)).state is DeploymentState.OVERLOADED]
    if full:
        return Overloaded(
            f"{route.model!r} takes no more requests now: {tried}{strict}",
            min(load.retry_after_s for load in full),
        )
    return Unavailable(
        f"nothing that may answer {route.model!r} runs now: {tried}{strict}", COLD_RETRY_AFTER_S
    )
