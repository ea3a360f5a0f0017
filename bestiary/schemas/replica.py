"""What every replica says of itself, whatever its family."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReplicaLoad:
    """A replica's own view, sampled by the router about once a second."""

    running: int  # requests in the batch
    waiting: int  # requests in the engine's queue
    slots: int  # how many can run at once
    kv_cache_usage: float = 0.0  # 0..1
    queue_wait_s: float = 0.0  # expected wait of a request that arrives now
