"""What is known of one deployment at this moment. Values only: nothing here measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bestiary.schemas.replica import ReplicaLoad


class DeploymentState(StrEnum):
    RUNNING = "running"
    COLD = "cold"  # no replica yet: scaled to zero, or still starting
    OVERLOADED = "overloaded"  # its queues are full
    LOST = "lost"  # it ran and no replica is left; Serve is replacing it


@dataclass(frozen=True, slots=True)
class DeploymentLoad:
    """`replica` is one replica's view, about a second old; `in_flight` is this process's own."""

    state: DeploymentState
    replicas: int = 1  # running ones
    in_flight: int = 0  # calls that this gateway replica has sent and not finished
    replica: ReplicaLoad | None = None  # None: not sampled yet
    retry_after_s: float = 1.0  # where it is overloaded

    @property
    def queue_wait_s(self) -> float:
        """Expected wait of a request that arrives now; 0 where no replica has said."""
        return self.replica.queue_wait_s if self.replica else 0.0

    @property
    def pressure(self) -> float:
        """Requests per slot of one replica: the sampled ones, or our own where those are newer."""
        own = self.in_flight / max(1, self.replicas)
        if self.replica is None:
            return own
        return max(own, self.replica.running + self.replica.waiting) / max(1, self.replica.slots)


Loads = Mapping[str, DeploymentLoad]  # by deployment; one that is missing was never seen running
