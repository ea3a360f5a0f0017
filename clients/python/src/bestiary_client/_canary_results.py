"""What callers get of canaries: aliases whose traffic is split. Plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class CanaryRules:
    """When the candidate gets more traffic, and when it gets none any more."""

    weights: tuple[float, ...] = (0.05, 0.25, 0.5, 1.0)  # the candidate's share, step by step
    min_requests: int = 50  # of the candidate before a step is judged
    min_step_s: float = 60.0
    max_error_increase: float = 0.02  # of the share of requests that fail
    max_latency_ratio: float = 1.5  # of the mean seconds to the first token
    metric: str | None = None  # of the candidate's evaluation, compared with its base's
    automatic: bool = True  # False: only a person moves it


@dataclass(frozen=True)
class CanaryArm:
    """What one side has done in the present step."""

    requests: int
    errors: int  # of the platform, not of the caller
    mean_first_token_s: float | None  # None: no request was timed yet

    @property
    def error_rate(self) -> float:
        return self.errors / self.requests if self.requests else 0.0


@dataclass(frozen=True)
class Canary:
    alias: str
    base: str
    candidate: str
    weight: float  # the candidate's share of requests
    state: str  # "running", "promoted" or "rolled_back"
    step: int  # place in `rules.weights`
    rules: CanaryRules
    base_arm: CanaryArm
    candidate_arm: CanaryArm
    reason: str  # of the last move
    created_at: datetime
    updated_at: datetime
