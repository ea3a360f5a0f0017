"""The load of every deployment, kept fresh in the background. Nothing here blocks a request.

Three sources: one replica's view of its load (asked for about once a second), Serve's own count
of running replicas (as often while something changes, else rarely: the answer takes Serve and this
process tens of milliseconds of processor), and this process's calls in flight (immediate).

`running_replicas` comes from the process that runs under Serve. In
`services/gateway/app.py`:

    async def running_replicas() -> dict[str, int]:
        status = await asyncio.to_thread(serve.status)
        return {
            name: sum(d.replica_states.get("RUNNING", 0) for d in app.deployments.values())
            for name, app in status.applications.items()
        }

    board = LoadBoard(profile.deployments, served_names, handle_for, running_replicas)
    await board.refresh()   # once, before the first request
    board.start()           # in the event loop; `await board.close()` at the end
    board.watch(deployments, served_names)   # whenever there are others
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType

from bestiary.errors import BestiaryError, DeadlineExceeded, ReplicaLost
from bestiary.profile.models import Deployment
from services.router.loads import Loads
from services.router.model_handle import HandleFor
from services.router.serve_errors import translated
from services.router.watched import Watched

PERIOD_S = 1.0
SAMPLE_DEADLINE_S = 1.0
STATUS_DEADLINE_S = 5.0
WAKE_DEADLINE_S = 60.0
AGREEING_ROUNDS = 10  # without a change, and Serve is asked only in every
RARE_ROUND = 5

RunningReplicas = Callable[[], Awaitable[Mapping[str, int]]]  # by application name
_logger = logging.getLogger(__name__)


class LoadBoard:
    """Watches the deployments in `served`, until `watch` names others."""

    def __init__(
        self,
        deployments: Mapping[str, Deployment],
        served: Iterable[str],
        handle_for: HandleFor,
        running_replicas: RunningReplicas,
        *,
        period_s: float = PERIOD_S,
        sample_deadline_s: float = SAMPLE_DEADLINE_S,
    ) -> None:
        # All that ever were: a call may be in flight on one that is not served any more.
        self._watched: dict[str, Watched] = {}
        self._served: tuple[str, ...] = ()
        self._handle_for = handle_for
        self._running_replicas = running_replicas
        self._period_s = period_s
        self._sample_deadline_s = sample_deadline_s
        self._quiet_rounds = 0  # since something last changed
        self._watching: asyncio.Task[None] | None = None
        self._waking: dict[str, asyncio.Task[None]] = {}
        self.watch(deployments, served)

    def start(self) -> None:
        """Begins to watch. Needs a running event loop; a second call does nothing."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._keep_watching(), name="load-board")

    async def close(self) -> None:
        """Stops every background task."""
        tasks = [task for task in (self._watching, *self._waking.values()) if task is not None]
        self._watching = None
        self._waking.clear()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def watch(self, deployments: Mapping[str, Deployment], served: Iterable[str]) -> None:
        """From now on those in `served`. What is known of one that stays is kept."""
        self._served = tuple(dict.fromkeys(served))
        for name in self._served:
            if name not in self._watched:
                self._watched[name] = Watched(deployments[name])
                self._quiet_rounds = 0

    def snapshot(self) -> Loads:
        """By deployment name; what /readyz shows."""
        return MappingProxyType({name: self._watched[name].load() for name in self._served})

    async def refresh(self) -> None:
        """Asks Serve and one replica of each deployment once. Never raises what they raise."""
        await self._count_replicas()
        await self._sample_awake()

    def sent(self, deployment: str) -> None:
        """A call goes out; `finished` must follow."""
        self._watched[deployment].in_flight += 1

    def finished(self, deployment: str) -> None:
        self._watched[deployment].in_flight -= 1

    def died(self, deployment: str) -> None:
        """A replica died under a call: known here long before Serve's status says so."""
        self._watched[deployment].replica_died()
        self._quiet_rounds = 0

    def wake(self, deployment: str) -> None:
        """Lets a deployment that was scaled to zero start: a call that waits makes Serve do so."""
        one = self._watched[deployment]
        if one.replicas > 0 or not one.scales_to_zero or deployment in self._waking:
            return
        self._quiet_rounds = 0
        task = asyncio.create_task(self._sample(deployment, WAKE_DEADLINE_S))
        self._waking[deployment] = task
        task.add_done_callback(lambda _: self._waking.pop(deployment, None))

    async def _keep_watching(self) -> None:
        while True:
            if self._quiet_rounds < AGREEING_ROUNDS or self._quiet_rounds % RARE_ROUND == 0:
                await self._count_replicas()
            self._quiet_rounds += 1
            await self._sample_awake()
            await asyncio.sleep(self._period_s)

    async def _sample_awake(self) -> None:
        """Not the deployments at zero: a call would start a replica of them."""
        awake = [name for name in self._served if self._watched[name].replicas > 0]
        await asyncio.gather(*(self._sample(name, self._sample_deadline_s) for name in awake))

    async def _count_replicas(self) -> None:
        try:
            async with asyncio.timeout(STATUS_DEADLINE_S):
                with translated():
                    running = await self._running_replicas()
        except (BestiaryError, TimeoutError) as error:
            # The controller may be restarting: the replicas serve on, the old count stands.
            _logger.warning("Serve's status is not available: %s", error)
            return
        for name in self._served:
            one, replicas = self._watched[name], running.get(name, 0)
            if replicas != one.replicas or replicas < one.least_replicas:
                self._quiet_rounds = 0
            one.count(replicas)

    async def _sample(self, deployment: str, deadline_s: float) -> None:
        one = self._watched[deployment]
        try:
            async with asyncio.timeout(deadline_s):
                with translated():
                    one.answered(await self._handle_for(deployment).load())
        except ReplicaLost:
            self.died(deployment)
        except (TimeoutError, DeadlineExceeded):
            # It is too busy to say how busy it is: the last view is the best there is.
            _logger.debug("%s did not tell its load within %g s", deployment, deadline_s)
        except BestiaryError as error:
            _logger.warning("%s does not tell its load: %s", deployment, error)
