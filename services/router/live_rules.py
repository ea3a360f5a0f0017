"""The routing policy as published models and canaries make it at this moment.

A cheap question twice a second (has anything changed?) keeps it fresh; a request for a name that
nobody knows asks at once. Whatever changes, the policy is replaced as a whole: requests that are
under way keep theirs. The database blocks, so it has a thread of its own here.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Protocol, TypeVar

from bestiary.errors import BestiaryError
from bestiary.profile.applications import GatewayArgs
from bestiary.profile.published import lay_published
from bestiary.schemas.publishing import Canary, PublishedModel
from services.router.load_board import LoadBoard
from services.router.policy import RoutingPolicy
from services.router.repeating import Repeating

PERIOD_S = 0.5  # what is published answers within a second, what is deleted stops
LEAST_GAP_S = 0.1  # between two looks, however many unknown names are asked for
LOOK_DEADLINE_S = 2.0

T_co = TypeVar("T_co", covariant=True)
_logger = logging.getLogger(__name__)


class Versioned(Protocol[T_co]):
    """`PublishedModels` and `Canaries`, as far as they are read here. Blocking."""

    def version(self) -> int:
        """Another one after every change."""
        ...

    def list(self) -> tuple[T_co, ...]: ...


@dataclass(frozen=True, slots=True)
class _Found:
    versions: tuple[int, int]
    models: tuple[PublishedModel, ...]
    canaries: tuple[Canary, ...]


class LiveRules:
    """`Rules` over what is published; tells `board` which deployments there are to watch."""

    def __init__(
        self,
        args: GatewayArgs,
        home: Path,
        models: Versioned[PublishedModel],
        canaries: Versioned[Canary],
        board: LoadBoard,
        *,
        period_s: float = PERIOD_S,
    ) -> None:
        self.now = RoutingPolicy(args.profile, args.served, args.absent)
        self._args = args
        self._home = home
        self._models = models
        self._canaries = canaries
        self._board = board
        self._versions: tuple[int, int] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._looked_at = float("-inf")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="published")
        self._looking = Repeating(self.look, period_s, "published-models")

    def start(self) -> None:
        """Begins to look. Needs a running event loop."""
        self._looking.start()

    async def close(self) -> None:
        await self._looking.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def knowing(self, name: str) -> RoutingPolicy:
        """As `Rules`. Waits for the database only where `name` is unknown, and not for long."""
        if not self.now.knows(name):
            await self.look()
        return self.now

    async def look(self) -> None:
        """Returns after a look that began after this call; many callers share one.

        A database that does not answer leaves everything as it is.
        """
        asked_at = monotonic()
        async with self._one_at_a_time:
            if self._looked_at > asked_at:
                return
            await asyncio.sleep(self._looked_at + LEAST_GAP_S - monotonic())
            self._looked_at = monotonic()
            try:
                async with asyncio.timeout(LOOK_DEADLINE_S):
                    found = await asyncio.get_running_loop().run_in_executor(
                        self._thread, self._read, self._versions
                    )
            except (BestiaryError, TimeoutError) as error:
                _logger.warning("what is published cannot be read: %s", error)
                return
            if found is not None:
                self._replace(found)

    def _read(self, known: tuple[int, int] | None) -> _Found | None:
        """None where nothing changed. A change after the versions were read is seen next time."""
        versions = self._models.version(), self._canaries.version()
        if versions == known:
            return None
        return _Found(versions, self._models.list(), self._canaries.list())

    def _replace(self, found: _Found) -> None:
        """Without a wait in it: nobody sees a policy whose deployments are not watched."""
        args = self._args
        laid = lay_published(args.profile, args.served, found.models, self._home)
        policy = RoutingPolicy(
            laid.profile, laid.served, {**args.absent, **laid.absent}, found.canaries
        )
        self._board.watch(laid.profile.deployments, [one.deployment for one in laid.served])
        self.now = policy
        self._versions = found.versions
