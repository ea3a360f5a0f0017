"""Moves the traffic of canaries by their rules: on, to all of it, or back. Judgement is pure."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from bestiary.errors import BestiaryError
from bestiary.schemas.publishing import Canary, CanaryState
from bestiary.schemas.tuning import Evaluation
from bestiary.state.canaries import Canaries
from bestiary.state.published_models import PublishedModels
from services.tuning.gate import LESS_IS_BETTER

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Move:
    step: int
    weight: float
    state: CanaryState
    reason: str


def judge(canary: Canary, evaluation: Evaluation | None, now: datetime) -> Move | None:
    """What the rules say of a running canary; None: nothing yet.

    `evaluation` is the candidate's, where it was tuned here.
    """
    rules, candidate, base = canary.rules, canary.candidate_counts, canary.base_counts
    if not rules.automatic or canary.state is not CanaryState.RUNNING:
        return None
    if (worse := _scores_worse(canary, evaluation)) is not None:
        return _back(canary, worse)
    if candidate.requests < rules.min_requests:
        return None
    increase = candidate.error_rate - base.error_rate
    if increase > rules.max_error_increase:
        return _back(
            canary,
            f"{candidate.error_rate:.1%} of its requests failed, of the base's "
            f"{base.error_rate:.1%}",
        )
    before, after = base.mean_first_token_s, candidate.mean_first_token_s
    if before and after and after > before * rules.max_latency_ratio:
        return _back(canary, f"its first token takes {after:.3f} s, the base's {before:.3f} s")
    if (now - canary.step_began_at).total_seconds() < rules.min_step_s:
        return None
    return _onward(canary)


def _onward(canary: Canary) -> Move:
    weights, step = canary.rules.weights, canary.step
    counts = canary.candidate_counts
    healthy = f"{counts.requests} requests, {counts.error_rate:.1%} failed"
    if weights[step] >= 1.0:
        return Move(step, 1.0, CanaryState.PROMOTED, f"all steps held: {healthy}")
    following = weights[step + 1]
    if following >= 1.0:
        return Move(step + 1, 1.0, CanaryState.PROMOTED, f"all steps held: {healthy}")
    return Move(step + 1, following, CanaryState.RUNNING, f"step {step + 1} held: {healthy}")


def _back(canary: Canary, why: str) -> Move:
    return Move(canary.step, 0.0, CanaryState.ROLLED_BACK, f"rolled back: {why}")


def _scores_worse(canary: Canary, evaluation: Evaluation | None) -> str | None:
    name = canary.rules.metric
    if name is None or evaluation is None:
        return None
    before, after = evaluation.base.get(name), evaluation.tuned.get(name)
    if before is None or after is None:
        return None
    worse = after > before if name in LESS_IS_BETTER else after < before
    return f"its {name} is {after:.4g}, the base's {before:.4g}" if worse else None


class CanaryMover:
    """`tick` is called every few seconds. Blocking."""

    def __init__(
        self,
        canaries: Canaries,
        models: PublishedModels,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._canaries = canaries
        self._models = models
        self._clock = clock

    def tick(self) -> None:
        for canary in self._canaries.running():
            move = judge(canary, self._evaluation(canary.candidate), self._clock())
            if move is None:
                continue
            _logger.info("canary %s: %s", canary.alias, move.reason)
            self._canaries.move(
                canary.alias,
                step=move.step,
                weight=move.weight,
                state=move.state,
                reason=move.reason,
            )

    def _evaluation(self, candidate: str) -> Evaluation | None:
        try:
            return self._models.get(candidate).lineage.evaluation
        except BestiaryError:  # no model that was tuned here
            return None
