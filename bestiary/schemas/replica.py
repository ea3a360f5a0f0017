"""What every replica says of itself, whatever its family."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReplicaLoad:
    """A replica's own view, sampled by the router about once a second."""

    running: int  # requests in the batch
    waiting: int  # requests in the engine's queue, or for a slot of their adapter
    slots: int  # how many can run at once
    kv_cache_usage: float = 0.0  # 0..1
    queue_wait_s: float = 0.0  # expected wait of a request that arrives now


@dataclass(frozen=True, slots=True)
class TextCounts:
    """What a text engine has done since its start; only ever grows."""

    prefix_cache_queries: int = 0  # prompt tokens that were looked for in the prefix cache
    prefix_cache_hits: int = 0  # of these: found
    drafted_tokens: int = 0  # guessed by speculation
    accepted_tokens: int = 0  # of these: were what the model chose
    preemptions: int = 0  # rows that gave way to a more urgent request
