"""One deployment as this process last saw it: counts in, a state out. Asks nobody itself."""

from __future__ import annotations

from bestiary.profile.models import Deployment
from bestiary.schemas.replica import ReplicaLoad
from services.router.loads import DeploymentLoad, DeploymentState

MIN_RETRY_AFTER_S = 1.0


class Watched:
    """`answered` comes once a second, `count` at most as often, the rest with every call."""

    def __init__(self, deployment: Deployment) -> None:
        self._queue = deployment.queue
        self.least_replicas = deployment.scaling.min_replicas
        self.replicas = 0
        self.in_flight = 0
        self._ran = False  # has had a replica
        self._suspect = False  # its only replica died, and none has answered since
        self._sample: ReplicaLoad | None = None

    @property
    def scales_to_zero(self) -> bool:
        return self.least_replicas == 0

    def count(self, replicas: int) -> None:
        """Serve's own count of running replicas; it may trail a death by seconds."""
        self.replicas = replicas
        self._ran = self._ran or replicas > 0
        if replicas == 0:
            self._suspect = False
            self._sample = None

    def answered(self, sample: ReplicaLoad) -> None:
        """A replica told its load, so one lives."""
        self._sample = sample
        self._suspect = False

    def replica_died(self) -> None:
        """With several replicas the others go on; Serve leaves the dead one out by itself."""
        if self.replicas <= 1:
            self._suspect = True
            self._sample = None

    def load(self) -> DeploymentLoad:
        wait_s = self._sample.queue_wait_s if self._sample else 0.0
        return DeploymentLoad(
            state=self._state(),
            replicas=self.replicas,
            in_flight=self.in_flight,
            replica=self._sample,
            retry_after_s=max(MIN_RETRY_AFTER_S, wait_s),
        )

    def _state(self) -> DeploymentState:
        if self._suspect:
            return DeploymentState.LOST
        if self.replicas == 0:
            was_lost = self._ran and not self.scales_to_zero
            return DeploymentState.LOST if was_lost else DeploymentState.COLD
        full = self.in_flight >= self._bound()
        return DeploymentState.OVERLOADED if full else DeploymentState.RUNNING

    def _bound(self) -> int:
        """Beyond it Serve would refuse the call too; here the refusal costs no hop."""
        return self.replicas * self._queue.max_ongoing_requests + self._queue.max_queued_requests
