"""Which of a canary's two models a name stands for. Pure: the chance is in the request.

A canary comes before whatever else the name means, and is on the name as it was asked for: one
on a tier takes nothing from `auto` or from an alias of the tier.

Requests of one `stickiness` stay on one side, and where the candidate's share grows those that
have it keep it. A key is no such thing by itself: the few keys of a small platform would make
every share all or nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import nextafter

from bestiary.errors import NotFound
from bestiary.schemas.publishing import Canary, CanaryState
from bestiary.schemas.routing import RouteReason, RouteRequest
from services.router.names import Names, Target

LAST_DRAW = nextafter(1.0, 0.0)  # goes to the base, unless everything goes to the candidate


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of a canary that is running."""

    alias: str
    candidate: bool


class Splits:
    """The canaries over `names`."""

    def __init__(self, names: Names, canaries: Iterable[Canary]) -> None:
        self._names = names
        self._canaries = {canary.alias: canary for canary in canaries}

    def knows(self, name: str) -> bool:
        return name in self._canaries or self._names.knows(name)

    def aliases(self) -> tuple[str, ...]:
        """Names that nothing has but a canary."""
        return tuple(name for name in self._canaries if not self._names.knows(name))

    def find(self, route: RouteRequest) -> Target:
        """As `Names.find`. The base stands in where the candidate is not there."""
        canary = self._canaries.get(route.model)
        if canary is None:
            return self._names.find(route)
        if not _takes_candidate(canary, route):
            found = self._meant(canary.base, route)
            itself = canary.base == canary.alias
            return found if itself else replace(found, reason=RouteReason.ALIAS)
        if route.strict or self._is_there(canary, route):
            found = self._meant(canary.candidate, route)
            return replace(found, reason=RouteReason.CANARY)
        found = self._meant(canary.base, route)
        return replace(found, reason=RouteReason.FALLBACK_NOT_INSTALLED)

    def arm(self, route: RouteRequest) -> Arm | None:
        """The side of a running canary that answers; None: nothing is tried out."""
        canary = self._canaries.get(route.model)
        if canary is None or canary.state is not CanaryState.RUNNING:
            return None
        if not _takes_candidate(canary, route):
            return Arm(canary.alias, candidate=False)
        # A base that stands in for a candidate that is not there proves nothing.
        return Arm(canary.alias, candidate=True) if self._is_there(canary, route) else None

    def _meant(self, name: str, route: RouteRequest) -> Target:
        return self._names.find(route.model_copy(update={"model": name}))

    def _is_there(self, canary: Canary, route: RouteRequest) -> bool:
        try:
            self._meant(canary.candidate, route)
        except NotFound:
            return False
        return True


def _takes_candidate(canary: Canary, route: RouteRequest) -> bool:
    if canary.state is CanaryState.RUNNING:
        return _draw(canary.alias, route) < canary.weight
    return canary.state is CanaryState.PROMOTED


def _draw(alias: str, route: RouteRequest) -> float:
    """Uniform over [0, 1). The alias is in it: else the same users would try every candidate."""
    if not route.stickiness:
        return route.draw
    digest = hashlib.blake2b(f"{alias}\0{route.stickiness}".encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48
