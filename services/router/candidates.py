"""Who may answer a request, best first, whatever the load. Pure.

A tier whose deployment is absent is stood in for by its `fallback` tiers, one that
is there by its `spillover` tiers. Both lists are followed breadth first, each tier
once: the operator's own list comes before the lists of the tiers in it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from bestiary.errors import CardNotInstalled, InvalidRequest, NotFound, UnsupportedParameter
from bestiary.garden.card import Family
from bestiary.garden.tasks import tasks_of
from bestiary.profile.applications import ServedModel
from bestiary.profile.models import Profile
from bestiary.schemas.routing import RouteReason, RouteRequest, Tier
from services.router.ability import may
from services.router.names import AUTO, Names, TierTarget
from services.router.splits import LAST_DRAW, Splits


@dataclass(frozen=True, slots=True)
class Candidate:
    """`tier` None: a model was asked for by its own name."""

    model: ServedModel
    tier: Tier | None
    reason: RouteReason  # recorded where it answers because it comes first


class Candidates:
    """The line-up for each request under one profile."""

    def __init__(self, profile: Profile, names: Names, splits: Splits) -> None:
        self._profile = profile
        self._names = names
        self._splits = splits

    def of(self, route: RouteRequest) -> tuple[Candidate, ...]:
        """Never empty; all of one family.

        Raises ModelNotFound, CardNotInstalled, InvalidRequest where the model is of
        another family than the request, or UnsupportedParameter where it cannot do the task.
        """
        found = self.by_name(route)
        if route.task is None:
            self._check_family(route, found[0].model)
        else:
            self._check_task(route, route.task, found[0].model)
        return found

    def by_name(self, route: RouteRequest) -> tuple[Candidate, ...]:
        """As `of`, without the checks: family and task only tell what `auto` means."""
        target = self._splits.find(route)
        if isinstance(target, TierTarget):
            return self._of_tier(target, route.strict)
        return tuple(Candidate(model, None, target.reason) for model in target.served)

    def _of_tier(self, target: TierTarget, strict: bool) -> tuple[Candidate, ...]:
        found: list[Candidate] = []
        seen = {target.tier}
        pending = deque([target.tier])
        while pending:
            tier = pending.popleft()
            binding = self._profile.tiers[tier]
            model = self._names.served(binding.deployment)
            if model is not None:
                asked = tier == target.tier
                reason = target.reason if asked else RouteReason.FALLBACK_NOT_INSTALLED
                found.append(Candidate(model, tier, reason))
            if strict:
                break
            onward = binding.fallback if model is None else binding.spillover
            pending.extend(other for other in dict.fromkeys(onward) if other not in seen)
            seen.update(onward)
        if not found:
            raise self._nothing_installed(target.tier, strict)
        return tuple(found)

    def _nothing_installed(self, tier: Tier, strict: bool) -> CardNotInstalled:
        deployment = self._profile.tiers[tier].deployment
        tail = "strict forbids a fallback" if strict else "no fallback of it is installed either"
        return CardNotInstalled(
            f"tier {tier} needs deployment {deployment}, which does not run: "
            f"{self._names.why_absent(deployment)}; {tail}",
            deployment,
        )

    def _check_family(self, route: RouteRequest, model: ServedModel) -> None:
        if model.family == route.family:
            return
        there = [
            name
            for name in (AUTO, *self._profile.tiers, *self._names.cards())
            if self._is_of(name, Family(route.family))
        ]
        raise InvalidRequest(
            f"model {route.model!r} is of the {model.family} family and cannot answer this "
            f"{route.family} request; ask for one of {', '.join(there) or 'none (none is served)'}",
            "model",
        )

    def _check_task(self, route: RouteRequest, task: str, model: ServedModel) -> None:
        if model.family == route.family and may(model.card, task):
            return
        own = ", ".join(tasks_of(model.card)) or "nothing that is known"
        able = dict.fromkeys(one.card.id for one in self._names.able(Family(route.family), task))
        raise UnsupportedParameter(
            f"model {route.model!r} cannot do {task}; it can do {own}. "
            f"Models that can do {task}: {', '.join(able) or 'none is served'}",
            "model",
        )

    def _is_of(self, name: str, family: Family) -> bool:
        try:
            asked = RouteRequest(model=name, family=family.value, draw=LAST_DRAW)
            return self.by_name(asked)[0].model.family is family
        except NotFound:
            return False
