"""What a model can be asked for, by its card alone. Whether it really can, its replica knows."""

from __future__ import annotations

from bestiary.garden.card import ModelCard
from bestiary.garden.tasks import tasks_of
from bestiary.schemas.routing import RouteRequest


def can(card: ModelCard, task: str) -> bool:
    """The card says that it can."""
    return task in tasks_of(card)


def may(card: ModelCard, task: str) -> bool:
    """The card does not say that it cannot: of an unknown architecture nothing is known."""
    return can(card, task) or not tasks_of(card)


def translates(card: ModelCard, route: RouteRequest) -> bool:
    """The card has a pair of the languages that the route names; true where it names none."""
    if route.source_language is None and route.target_language is None:
        return True
    pairs = (pair.split("-") for pair in card.languages)
    return any(
        route.source_language in (None, source) and route.target_language in (None, target)
        for source, target in pairs
    )
