"""A canary on a name: who goes where, and what it means when it is over."""

from __future__ import annotations

import random

import pytest
from router_fakes import NAMES, SMALL, chat, overloaded, running
from router_published import TUNED, canary, laid, published

from bestiary.errors import ModelNotFound, Overloaded
from bestiary.schemas.publishing import Canary, CanaryState
from bestiary.schemas.routing import RouteDecision, RouteRequest
from services.router.policy import RoutingPolicy
from services.router.splits import Arm

ALL_RUN = {name: running() for name in NAMES}


def policy(*canaries: Canary, there: bool = True) -> RoutingPolicy:
    over = laid(*([published()] if there else []))
    return RoutingPolicy(over.profile, over.served, over.absent, canaries)


def asked(model: str, draw: float = 0.0, stickiness: str = "") -> RouteRequest:
    return RouteRequest(model=model, family="text", draw=draw, stickiness=stickiness)


def decided(rules: RoutingPolicy, route: RouteRequest) -> RouteDecision:
    return rules.decide(route, ALL_RUN)


def candidates(rules: RoutingPolicy, routes: list[RouteRequest]) -> int:
    return sum(decided(rules, route).model == TUNED for route in routes)


def test_the_candidate_gets_its_share_of_a_thousand_draws() -> None:
    chance = random.Random(7)
    routes = [asked("pets", chance.random()) for _ in range(1000)]
    assert 210 <= candidates(policy(canary(weight=0.25)), routes) <= 290  # 3 deviations


def test_a_request_draws_by_itself_and_keeps_its_draw() -> None:
    routes = [RouteRequest(model="pets", family="text") for _ in range(200)]
    rules = policy(canary(weight=0.5))
    assert 60 <= candidates(rules, routes) <= 140
    assert all(rules.resolve(route).model == decided(rules, route).model for route in routes)


def test_requests_of_one_end_user_go_to_one_side() -> None:
    rules = policy(canary(weight=0.5))
    for user in ("ann", "ben", "cleo", "dan"):
        sides = {decided(rules, asked("pets", n / 10, user)).model for n in range(10)}
        assert len(sides) == 1


def test_a_thousand_end_users_are_split_by_weight() -> None:
    routes = [asked("pets", stickiness=f"user-{n}") for n in range(1000)]
    assert 210 <= candidates(policy(canary(weight=0.25)), routes) <= 290


def test_end_users_that_have_the_candidate_keep_it_when_its_share_grows() -> None:
    users = [asked("pets", stickiness=f"user-{n}") for n in range(100)]
    few, many = policy(canary(weight=0.2)), policy(canary(weight=0.6))
    chosen = [user for user in users if decided(few, user).model == TUNED]
    assert candidates(many, chosen) == len(chosen) > 0


def test_other_canaries_try_other_users_first() -> None:
    rules = policy(canary("one", weight=0.2), canary("two", weight=0.2))
    sides = [
        {user for user in map(str, range(200)) if decided(rules, asked(alias, 0.0, user)).adapter}
        for alias in ("one", "two")
    ]
    assert sides[0] != sides[1]


def test_the_candidates_answer_says_canary_and_the_bases_alias() -> None:
    rules = policy(canary())
    candidate, base = decided(rules, asked("pets", 0.1)), decided(rules, asked("pets", 0.9))
    assert (candidate.asked, candidate.model, candidate.reason) == ("pets", TUNED, "canary")
    assert candidate.adapter is not None
    assert (base.model, base.reason, base.adapter) == (SMALL, "alias", None)


@pytest.mark.parametrize("name", ["gecko", "text-bison-001", SMALL])
def test_a_canary_on_a_name_that_there_is_takes_its_share_of_it(name: str) -> None:
    before = decided(policy(), asked(name))
    rules = policy(canary(name, base=name))
    assert decided(rules, asked(name, 0.1)).model == TUNED
    assert decided(rules, asked(name, 0.9)) == before


def test_only_the_name_that_was_asked_for_is_split() -> None:
    rules = policy(canary("gecko", base="gecko", weight=1.0))
    assert decided(rules, asked("auto")).model == SMALL
    assert decided(rules, asked(SMALL)).model == SMALL


def test_a_tier_as_candidate_spills_over_as_it_always_does() -> None:
    rules = policy(canary(base=SMALL, candidate="gecko"))
    loads = ALL_RUN | {"small-int8": overloaded()}
    decision = rules.decide(asked("pets", 0.1), loads)
    assert (decision.tier, decision.reason) == ("otter", "spillover-overloaded")


@pytest.mark.parametrize(
    ("state", "model"), [(CanaryState.PROMOTED, TUNED), (CanaryState.ROLLED_BACK, SMALL)]
)
@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999])
def test_a_canary_that_is_over_has_one_side(state: CanaryState, model: str, draw: float) -> None:
    rules = policy(canary(state=state))
    assert decided(rules, asked("pets", draw)).model == model
    assert rules.arm(asked("pets", draw)) is None


def test_the_arm_is_the_side_that_answers() -> None:
    rules = policy(canary())
    assert rules.arm(asked("pets", 0.1)) == Arm("pets", candidate=True)
    assert rules.arm(asked("pets", 0.9)) == Arm("pets", candidate=False)
    assert rules.arm(asked("gecko")) is None


def test_the_base_stands_in_for_a_candidate_that_is_not_there_and_counts_for_nobody() -> None:
    rules = policy(canary(), there=False)
    decision = decided(rules, asked("pets", 0.1))
    assert (decision.model, decision.reason) == (SMALL, "fallback-not-installed")
    assert rules.arm(asked("pets", 0.1)) is None


def test_strict_forbids_that() -> None:
    route = asked("pets", 0.1).model_copy(update={"strict": True})
    with pytest.raises(ModelNotFound):
        decided(policy(canary(), there=False), route)


def test_a_full_candidate_is_overloaded_and_not_quietly_the_base() -> None:
    loads = ALL_RUN | {"small-fp32": overloaded()}
    with pytest.raises(Overloaded):
        policy(canary()).decide(asked("pets", 0.1), loads)


def test_a_canarys_own_alias_is_listed_with_what_most_requests_get() -> None:
    offered = {one.id: one for one in policy(canary()).models()}
    promoted = {one.id: one for one in policy(canary(state=CanaryState.PROMOTED)).models()}
    assert (offered["pets"].kind, offered["pets"].card.id) == ("alias", SMALL)
    assert promoted["pets"].card.id == TUNED
    assert offered["gecko"].kind == "tier"


def test_its_alias_is_a_name_and_no_name_without_it() -> None:
    assert policy(canary()).knows("pets")
    assert not policy().knows("pets")
    with pytest.raises(ModelNotFound):
        decided(policy(), chat("pets"))
