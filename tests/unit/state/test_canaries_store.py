"""Canaries, on both databases."""

from __future__ import annotations

import pytest

from bestiary.errors import Conflict, InvalidRequest, NotFound
from bestiary.schemas.publishing import ArmCounts, CanaryRules, CanaryState
from bestiary.state.canaries import Canaries

RULES = CanaryRules(weights=(0.1, 0.5, 1.0), min_requests=3)
ONE = ArmCounts(requests=4, errors=1, first_token_s=2.5, timed=3)


@pytest.fixture
def canaries(database):
    return Canaries(database)


def test_a_canary_begins_at_the_rules_first_weight(canaries):
    started = canaries.start("pets", "gecko", "ft:a", RULES)

    assert started == canaries.get("pets")
    assert canaries.list() == canaries.running() == (started,)
    assert (started.weight, started.step, started.state) == (0.1, 0, CanaryState.RUNNING)
    assert (started.base, started.candidate, started.rules) == ("gecko", "ft:a", RULES)
    assert started.base_counts == started.candidate_counts == ArmCounts()


@pytest.mark.parametrize(("weight", "step"), [(0.0, 0), (0.1, 0), (0.3, 0), (0.5, 1), (1.0, 2)])
def test_a_first_weight_has_its_step(canaries, weight, step):
    started = canaries.start("pets", "gecko", "ft:a", RULES, weight=weight)

    assert (started.weight, started.step) == (weight, step)


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight": 1.1},
        {"weight": -0.1},
        {"weight": float("nan")},
        {"alias": ""},
        {"alias": "a\0b"},
        {"candidate": "x" * 300},
        {"candidate": "gecko"},
    ],
)
def test_a_canary_that_splits_nothing_is_refused(canaries, wrong):
    asked = {"alias": "pets", "base": "gecko", "candidate": "ft:a", "rules": RULES} | wrong

    with pytest.raises(InvalidRequest):
        canaries.start(**asked)
    assert canaries.list() == ()


def test_an_alias_has_one_running_canary(canaries):
    first = canaries.start("pets", "gecko", "ft:a", RULES)

    with pytest.raises(Conflict):
        canaries.start("pets", "gecko", "ft:b", RULES)
    assert canaries.get("pets") == first


@pytest.mark.parametrize("state", [CanaryState.PROMOTED, CanaryState.ROLLED_BACK])
def test_one_that_is_over_makes_place_for_another(canaries, state):
    canaries.start("pets", "gecko", "ft:a", RULES)
    canaries.count("pets", base=ONE, candidate=ONE)
    canaries.move("pets", step=2, weight=1.0, state=state, reason="over")
    assert canaries.running() == ()

    second = canaries.start("pets", "ft:a", "ft:b", RULES)

    assert canaries.list() == (second,)
    assert (second.candidate, second.state) == ("ft:b", CanaryState.RUNNING)
    assert second.candidate_counts == ArmCounts()


def test_counts_add_up_until_the_next_step(canaries):
    canaries.start("pets", "gecko", "ft:a", RULES)
    canaries.count("pets", base=ONE, candidate=ArmCounts())
    canaries.count("pets", base=ONE, candidate=ONE)

    counted = canaries.get("pets")
    assert counted.base_counts == ArmCounts(requests=8, errors=2, first_token_s=5.0, timed=6)
    assert counted.candidate_counts == ONE

    moved = canaries.move(
        "pets", step=1, weight=0.5, state=CanaryState.RUNNING, reason="all is well"
    )
    assert moved == canaries.get("pets")
    assert (moved.step, moved.weight, moved.reason) == (1, 0.5, "all is well")
    assert moved.base_counts == moved.candidate_counts == ArmCounts()
    assert moved.step_began_at > counted.step_began_at
    assert moved.created_at == counted.created_at


def test_counts_of_an_alias_without_a_canary_are_ignored(canaries):
    canaries.count("pets", base=ONE, candidate=ONE)

    assert canaries.list() == ()


def test_an_ended_canary_is_gone(canaries):
    canaries.start("pets", "gecko", "ft:a", RULES)

    canaries.end("pets")

    assert canaries.list() == ()


@pytest.mark.parametrize("alias", ["none", "", "a\0b"])
def test_an_alias_without_a_canary_is_not_found(canaries, alias):
    with pytest.raises(NotFound):
        canaries.get(alias)
    with pytest.raises(NotFound):
        canaries.end(alias)
    with pytest.raises(NotFound):
        canaries.move(alias, step=0, weight=0.0, state=CanaryState.RUNNING, reason="")


def test_the_version_tells_of_moves_and_not_of_counts(canaries):
    versions = [canaries.version()]
    canaries.start("pets", "gecko", "ft:a", RULES)
    versions.append(canaries.version())
    canaries.move("pets", step=1, weight=0.5, state=CanaryState.RUNNING, reason="")
    versions.append(canaries.version())
    canaries.end("pets")
    versions.append(canaries.version())
    assert len(set(versions)) == 4

    canaries.count("pets", base=ONE, candidate=ONE)
    assert canaries.version() == versions[-1]
