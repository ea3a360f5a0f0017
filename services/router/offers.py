"""What callers may ask for: the names that someone answers, and who. Pure; ignores load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from bestiary.errors import NotFound
from bestiary.garden.card import Family, ModelCard
from bestiary.profile.models import Profile
from bestiary.schemas.routing import RouteRequest
from services.router.candidates import Candidates
from services.router.names import AUTO, Names
from services.router.splits import LAST_DRAW, Splits


class OfferKind(StrEnum):
    AUTO = "auto"
    TIER = "tier"
    CARD = "card"
    ALIAS = "alias"


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """One name, and who answers it while nothing is overloaded."""

    id: str
    kind: OfferKind
    family: Family
    tier: str | None  # that answers; None: the name stands for a card
    card: ModelCard
    deployment: str


class Offers:
    def __init__(
        self, profile: Profile, names: Names, splits: Splits, candidates: Candidates
    ) -> None:
        self._profile = profile
        self._names = names
        self._aliases = (*profile.aliases, *splits.aliases())
        self._candidates = candidates

    def get(self, name: str) -> OfferedModel:
        """Any name that `find` knows. Raises ModelNotFound or CardNotInstalled."""
        return self._offer(name, self._kind(name))

    def every(self) -> tuple[OfferedModel, ...]:
        """`auto`, tiers, cards, aliases, in that order; names that nobody answers left out."""
        return tuple(self._answered())

    def _answered(self) -> Iterator[OfferedModel]:
        tiers, cards = self._profile.tiers, self._names.cards()
        for name in dict.fromkeys((AUTO, *tiers, *cards, *self._aliases)):
            try:
                yield self.get(name)
            except NotFound:  # bound to nothing that is installed
                continue

    def _offer(self, name: str, kind: OfferKind) -> OfferedModel:
        route = RouteRequest(model=name, family=Family.TEXT.value, draw=LAST_DRAW)
        first = self._candidates.by_name(route)[0]
        return OfferedModel(
            id=str(name),
            kind=kind,
            family=first.model.family,
            tier=first.tier,
            card=first.model.card,
            deployment=first.model.deployment,
        )

    def _kind(self, name: str) -> OfferKind:
        if name in ("", AUTO):
            return OfferKind.AUTO
        if name in self._profile.tiers:
            return OfferKind.TIER
        return OfferKind.ALIAS if name in self._aliases else OfferKind.CARD
