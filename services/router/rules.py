"""Where the dispatcher has its policy from. The one here never changes, see `live_rules.py`."""

from __future__ import annotations

from typing import Protocol

from services.router.policy import RoutingPolicy


class Rules(Protocol):
    @property
    def now(self) -> RoutingPolicy:
        """The present policy. A request keeps the one that it began with."""
        ...

    async def knowing(self, name: str) -> RoutingPolicy:
        """The present policy; where it does not know `name`, after another look."""
        ...


class FixedRules:
    """One profile, and nothing is published."""

    def __init__(self, policy: RoutingPolicy) -> None:
        self.now = policy

    async def knowing(self, name: str) -> RoutingPolicy:
        return self.now
