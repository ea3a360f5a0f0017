"""What the rules of a canary decide."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bestiary.schemas.publishing import ArmCounts, Canary, CanaryRules, CanaryState
from bestiary.schemas.tuning import Evaluation
from services.tuning.canaries import judge

BEGAN = datetime(2026, 11, 30, tzinfo=UTC)
LATER = BEGAN + timedelta(seconds=120)
GOOD = ArmCounts(requests=100, errors=1, first_token_s=10.0, timed=100)
RULES = CanaryRules(weights=(0.1, 0.5, 1.0), min_requests=50, min_step_s=60)


def canary(**fields: object) -> Canary:
    given: dict[str, object] = {
        "alias": "assistant",
        "base": "gecko",
        "candidate": "ft:smollm2-135m-instruct:json:abc",
        "weight": 0.1,
        "state": CanaryState.RUNNING,
        "rules": RULES,
        "step_began_at": BEGAN,
        "base_counts": GOOD,
        "candidate_counts": GOOD,
        "created_at": BEGAN,
        "updated_at": BEGAN,
    }
    return Canary.model_validate(given | fields)


def test_a_healthy_step_is_followed_by_the_next() -> None:
    move = judge(canary(), None, LATER)
    assert move is not None
    assert (move.step, move.weight, move.state) == (1, 0.5, CanaryState.RUNNING)


def test_the_last_step_promotes() -> None:
    move = judge(canary(step=1, weight=0.5), None, LATER)
    assert move is not None
    assert (move.weight, move.state) == (1.0, CanaryState.PROMOTED)


@pytest.mark.parametrize(
    "waiting",
    [
        canary(candidate_counts=ArmCounts(requests=49, timed=49)),
        canary(step_began_at=LATER - timedelta(seconds=30)),
        canary(rules=RULES.model_copy(update={"automatic": False})),
        canary(state=CanaryState.ROLLED_BACK),
    ],
)
def test_nothing_moves_too_early_or_by_itself(waiting: Canary) -> None:
    assert judge(waiting, None, LATER) is None


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (ArmCounts(requests=60, errors=6, first_token_s=6.0, timed=60), "10.0% of its requests"),
        (ArmCounts(requests=60, first_token_s=30.0, timed=60), "first token takes 0.500 s"),
    ],
)
def test_a_candidate_that_does_worse_goes_back_at_once(counts: ArmCounts, said: str) -> None:
    move = judge(canary(candidate_counts=counts), None, BEGAN)
    assert move is not None
    assert (move.weight, move.state) == (0.0, CanaryState.ROLLED_BACK)
    assert said in move.reason


def test_a_candidate_that_scores_worse_goes_back_before_anybody_asks_it() -> None:
    rules = RULES.model_copy(update={"metric": "exact_match"})
    scores = Evaluation(examples=9, base={"exact_match": 0.5}, tuned={"exact_match": 0.4})
    move = judge(canary(rules=rules, candidate_counts=ArmCounts()), scores, BEGAN)
    assert move is not None
    assert move.state is CanaryState.ROLLED_BACK
    assert "exact_match is 0.4" in move.reason
