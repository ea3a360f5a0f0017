"""Public name -> what it stands for. Knows the profile and the cards, not the load.

A name is, in this order: `auto`, a tier, an alias, a card id, a deployment. An
alias stands for any of the others but not for another alias. `auto` depends on what is asked:
a text's length picks a tier, embedding has its deployment, any other task the first model
that can do it. What a canary makes of a name, `splits.py` knows.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bestiary.errors import CardNotInstalled, ModelNotFound
from bestiary.garden.card import Family
from bestiary.garden.tasks import Task
from bestiary.profile.applications import ServedModel
from bestiary.profile.models import InstalledCard, Profile
from bestiary.schemas.routing import RouteReason, RouteRequest, Tier
from services.router.ability import can, translates

AUTO = "auto"
MAX_NAMES_IN_A_MESSAGE = 12
MAX_NAME = 128  # characters


@dataclass(frozen=True, slots=True)
class TierTarget:
    """A tier, whether or not its deployment runs."""

    tier: Tier
    reason: RouteReason


@dataclass(frozen=True, slots=True)
class DeploymentsTarget:
    """One model, on any of these deployments; all of them run."""

    served: tuple[ServedModel, ...]
    reason: RouteReason


Target = TierTarget | DeploymentsTarget


class Names:
    """Every name of one profile."""

    def __init__(
        self, profile: Profile, served: tuple[ServedModel, ...], absent: Mapping[str, str]
    ) -> None:
        self._profile = profile
        self._absent = absent  # deployment or published model -> why it does not run
        self._by_deployment: dict[str, ServedModel] = {}
        for model in served:  # the deployment's own model comes before adapters over it
            self._by_deployment.setdefault(model.deployment, model)
        self._by_card: dict[str, tuple[ServedModel, ...]] = {}
        for model in served:
            self._by_card[model.card.id] = (*self._by_card.get(model.card.id, ()), model)

    def served(self, deployment: str) -> ServedModel | None:
        """None where the deployment does not run."""
        return self._by_deployment.get(deployment)

    def why_absent(self, deployment: str) -> str:
        return self._absent.get(deployment, "it is not deployed")

    def cards(self) -> tuple[str, ...]:
        """Ids of the served cards, in the profile's order."""
        return tuple(self._by_card)

    def known(self) -> tuple[str, ...]:
        """Every name that may be asked for."""
        profile = self._profile
        return tuple(
            dict.fromkeys((AUTO, *map(str, profile.tiers), *profile.aliases, *self._by_card))
        )

    def knows(self, name: str) -> bool:
        """False: nothing has that name, installed or not."""
        profile = self._profile
        return (
            name in ("", AUTO, *Tier)
            or name in profile.aliases
            or name in self._by_card
            or name in profile.deployments
            or name in self._absent
            or any(name == deployment.card for deployment in profile.deployments.values())
        )

    def able(self, family: Family, task: str) -> tuple[ServedModel, ...]:
        """Served models that can do a task of a family, in the profile's order."""
        return tuple(
            model
            for model in self._by_deployment.values()
            if model.family is family and can(model.card, task)
        )

    def find(self, route: RouteRequest) -> Target:
        """Raises ModelNotFound, or CardNotInstalled for a model that is known and not served."""
        name = route.model
        if name in ("", AUTO):
            return self._auto(route)
        aliased = self._profile.aliases.get(name)
        if aliased is None:
            return self._find(name, name)
        found = self._auto(route) if aliased == AUTO else self._find(aliased, name)
        return replace(found, reason=RouteReason.ALIAS)

    def _auto(self, route: RouteRequest) -> Target:
        if route.family == Family.ENCODER and route.task in (None, Task.EMBED):
            return self._deployment(self._profile.embedding, AUTO, RouteReason.AUTO)
        if route.task is not None:
            return self._first_able(route, route.task)
        rules = self._profile.auto
        for tier, bound in rules.max_prompt_characters.items():
            if route.prompt_size <= bound:
                return TierTarget(tier, RouteReason.AUTO)
        return TierTarget(rules.otherwise, RouteReason.AUTO)

    def _first_able(self, route: RouteRequest, task: str) -> DeploymentsTarget:
        able = self.able(Family(route.family), task)
        if not able:
            raise ModelNotFound(
                f"no model that is served here can do {task}; GET /v1/models tells what each can",
                AUTO,
            )
        first = next((model for model in able if translates(model.card, route)), able[0])
        same = tuple(model for model in able if model.card.id == first.card.id)
        return DeploymentsTarget(same, RouteReason.AUTO)

    def _find(self, name: str, asked: str) -> Target:
        if name in list(Tier):
            tier = Tier(name)
            if tier not in self._profile.tiers:
                raise ModelNotFound(
                    f"tier {tier} is not offered by this profile: bind it under tiers: "
                    f"(offered: {', '.join(self._profile.tiers)})",
                    asked,
                )
            return TierTarget(tier, RouteReason.REQUESTED_TIER)
        if name in self._by_card:
            return DeploymentsTarget(self._by_card[name], RouteReason.REQUESTED_MODEL)
        if name in self._profile.deployments:
            return self._deployment(name, asked, RouteReason.REQUESTED_MODEL)
        self._refuse_absent_card(name)
        raise ModelNotFound(self._not_found(asked), asked)

    def _deployment(self, name: str, asked: str, reason: RouteReason) -> DeploymentsTarget:
        model = self._by_deployment.get(name)
        if model is None:
            raise CardNotInstalled(
                f"{asked} needs deployment {name}, which does not run: {self.why_absent(name)}",
                name,
            )
        return DeploymentsTarget((model,), reason)

    def _refuse_absent_card(self, card: str) -> None:
        if card in self._absent:  # deployments are found before
            raise CardNotInstalled(f"model {card} is not served: {self._absent[card]}", card)
        for name, deployment in self._profile.deployments.items():
            if not isinstance(deployment.card, InstalledCard) and deployment.card == card:
                raise CardNotInstalled(
                    f"model {card} is not installed: {self.why_absent(name)}", card
                )

    def _not_found(self, asked: str) -> str:
        known = self.known()
        asked = asked[:MAX_NAME]  # the comparison is quadratic in it
        nearest = difflib.get_close_matches(asked, known, n=len(known), cutoff=0.0)
        listed = ", ".join(nearest[:MAX_NAMES_IN_A_MESSAGE])
        more = "" if len(nearest) <= MAX_NAMES_IN_A_MESSAGE else ", ..."
        return f"model {asked!r} does not exist; there is {listed}{more}"
