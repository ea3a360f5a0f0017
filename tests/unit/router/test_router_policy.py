"""The policy, as tables: names, then loads, then refusals."""

from __future__ import annotations

import pytest
from router_fakes import (
    COLD,
    LARGE,
    LOST,
    SMALL,
    VECTORS,
    chat,
    embedding,
    overloaded,
    profile,
    running,
    served,
)

from bestiary.errors import (
    CardNotInstalled,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    Unavailable,
)
from services.router.loads import DeploymentLoad
from services.router.policy import RoutingPolicy

EVERYTHING = ("small-int8", "small-fp32", "large", "embed")
WHY = {"large": "no source of it resolves", "small-fp32": "x", "small-int8": "y", "embed": "z"}


def policy(*deployments: str, **changes: object) -> RoutingPolicy:
    there = deployments or EVERYTHING
    absent = {name: why for name, why in WHY.items() if name not in there}
    return RoutingPolicy(profile(**changes), served(*there), absent)


def all_running(**others: DeploymentLoad) -> dict[str, DeploymentLoad]:
    return {name: running() for name in EVERYTHING} | {
        name.replace("_", "-"): load for name, load in others.items()
    }


@pytest.mark.parametrize(
    ("asked", "size", "tier", "deployment", "reason"),
    [
        ("gecko", 0, "gecko", "small-int8", "requested-tier"),
        ("otter", 0, "otter", "small-fp32", "requested-tier"),
        ("bison", 0, "bison", "large", "requested-tier"),
        ("auto", 0, "gecko", "small-int8", "auto"),
        ("auto", 100, "gecko", "small-int8", "auto"),
        ("auto", 101, "otter", "small-fp32", "auto"),
        ("auto", 1001, "bison", "large", "auto"),
        ("", 0, "gecko", "small-int8", "auto"),
        ("text-bison-001", 0, "bison", "large", "alias"),
        ("clever", 1001, "bison", "large", "alias"),
        ("pinned", 0, None, "large", "alias"),
        (LARGE, 0, None, "large", "requested-model"),
        (SMALL, 0, None, "small-int8", "requested-model"),
        ("small-fp32", 0, None, "small-fp32", "requested-model"),
    ],
)
def test_a_name_leads_to_its_deployment(
    asked: str, size: int, tier: str | None, deployment: str, reason: str
) -> None:
    decision = policy().decide(chat(asked, prompt_size=size), all_running())
    assert (decision.asked, decision.tier, decision.deployment, decision.reason) == (
        asked,
        tier,
        deployment,
        reason,
    )


@pytest.mark.parametrize("asked", ["embedding-gecko-001", VECTORS, "embed", "auto", ""])
def test_an_embedding_name_leads_to_the_encoder(asked: str) -> None:
    assert policy().decide(embedding(asked), all_running()).model == VECTORS


@pytest.mark.parametrize(
    ("asked", "loads", "tier", "reason"),
    [
        ("gecko", {"small_int8": overloaded()}, "otter", "spillover-overloaded"),
        ("gecko", {"small_int8": COLD}, "otter", "spillover-cold"),
        ("gecko", {"small_int8": LOST}, "otter", "spillover-cold"),
        ("gecko", {"small_int8": running(wait_s=5.1)}, "otter", "spillover-queue"),
        ("gecko", {"small_int8": running(wait_s=5.0)}, "gecko", "requested-tier"),
        ("auto", {"small_int8": COLD}, "otter", "spillover-cold"),
        ("text-bison-001", {"large": overloaded()}, "otter", "spillover-overloaded"),
        # The chain: bison names otter only, otter names gecko.
        ("bison", {"large": COLD, "small_fp32": overloaded()}, "gecko", "spillover-cold"),
        (
            "bison",
            {"large": overloaded(), "small_fp32": running(wait_s=9)},
            "gecko",
            "spillover-overloaded",
        ),
        # Over the target everywhere: the target is a wish, the asked tier answers.
        (
            "gecko",
            {"small_int8": running(wait_s=6), "small_fp32": running(wait_s=6)},
            "gecko",
            "requested-tier",
        ),
        # A stand-in over its target is still better than nobody.
        ("gecko", {"small_int8": COLD, "small_fp32": running(wait_s=9)}, "otter", "spillover-cold"),
        (
            "gecko",
            {"small_int8": running(wait_s=9), "small_fp32": COLD},
            "gecko",
            "requested-tier",
        ),
    ],
)
def test_load_sends_a_request_to_a_stand_in(
    asked: str, loads: dict[str, DeploymentLoad], tier: str, reason: str
) -> None:
    decision = policy().decide(chat(asked), all_running(**loads))
    assert (decision.tier, decision.reason) == (tier, reason)


@pytest.mark.parametrize(
    ("there", "asked", "loads", "tier", "reason"),
    [
        (("small-int8", "small-fp32"), "bison", {}, "otter", "fallback-not-installed"),
        (("small-int8",), "bison", {}, "gecko", "fallback-not-installed"),
        (("small-int8",), "otter", {}, "gecko", "fallback-not-installed"),
        (("small-int8", "small-fp32"), "text-bison-001", {}, "otter", "fallback-not-installed"),
        # The fallback itself may spill over; then load is the reason.
        (
            ("small-int8", "small-fp32"),
            "bison",
            {"small_fp32": overloaded()},
            "gecko",
            "spillover-overloaded",
        ),
        # A spillover tier that is absent hands on to its own fallback.
        (("small-int8", "large"), "bison", {"large": COLD}, "gecko", "spillover-cold"),
    ],
)
def test_an_absent_tier_falls_back(
    there: tuple[str, ...],
    asked: str,
    loads: dict[str, DeploymentLoad],
    tier: str,
    reason: str,
) -> None:
    decision = policy(*there).decide(chat(asked), all_running(**loads))
    assert (decision.tier, decision.reason) == (tier, reason)


@pytest.mark.parametrize(
    ("there", "loads", "error"),
    [
        (("small-int8", "small-fp32"), {}, CardNotInstalled),
        (EVERYTHING, {"large": overloaded()}, Overloaded),
        (EVERYTHING, {"large": COLD}, Unavailable),
        (EVERYTHING, {"large": LOST}, Unavailable),
    ],
)
def test_strict_refuses_where_others_would_stand_in(
    there: tuple[str, ...], loads: dict[str, DeploymentLoad], error: type[Exception]
) -> None:
    with pytest.raises(error, match="strict"):
        policy(*there).decide(chat("bison", strict=True), all_running(**loads))


def test_strict_stays_over_the_queue_target() -> None:
    decision = policy().decide(
        chat("gecko", strict=True), all_running(small_int8=running(wait_s=60))
    )
    assert decision.tier == "gecko"


@pytest.mark.parametrize(
    ("int8", "fp32", "deployment"),
    [
        (running(), running(), "small-int8"),  # a tie: the profile's order
        (running(busy=2), running(busy=1), "small-fp32"),
        (running(busy=1), running(wait_s=1), "small-int8"),
        (overloaded(), running(wait_s=9), "small-fp32"),
        (COLD, running(busy=9), "small-fp32"),
        (running(wait_s=9), running(wait_s=6), "small-fp32"),
    ],
)
def test_a_card_on_two_deployments_goes_to_the_least_loaded(
    int8: DeploymentLoad, fp32: DeploymentLoad, deployment: str
) -> None:
    decision = policy().decide(chat(SMALL), all_running(small_int8=int8, small_fp32=fp32))
    assert (decision.deployment, decision.reason) == (deployment, "requested-model")


def test_a_model_asked_for_by_name_is_never_replaced_by_another() -> None:
    with pytest.raises(Overloaded):
        policy().decide(chat(LARGE), all_running(large=overloaded()))


def test_everyone_overloaded_tells_the_earliest_retry() -> None:
    loads = all_running(small_int8=overloaded(4.0), small_fp32=overloaded(2.5))
    with pytest.raises(Overloaded) as caught:
        policy().decide(chat("gecko"), loads)
    assert caught.value.retry_after_s == 2.5


def test_nobody_running_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="small-int8 is cold, small-fp32 is lost") as caught:
        policy().decide(chat("gecko"), all_running(small_int8=COLD, small_fp32=LOST))
    assert caught.value.retry_after_s > 0


def test_a_deployment_never_seen_is_cold() -> None:
    with pytest.raises(Unavailable):
        policy().decide(chat("gecko"), {})


def test_a_deployment_scaled_to_zero_holds_the_request_where_nobody_stands_in() -> None:
    raw = profile().model_dump(mode="json")
    raw["deployments"]["large"]["scaling"] = {"min_replicas": 0}
    rules = policy(deployments=raw["deployments"])
    assert rules.decide(chat("bison", strict=True), all_running(large=COLD)).tier == "bison"


@pytest.mark.parametrize("asked", ["unicorn", "text-unicorn-001"])
def test_a_tier_that_is_not_bound_says_how_to_bind_it(asked: str) -> None:
    with pytest.raises(ModelNotFound, match="not offered by this profile: bind it under tiers:"):
        policy().decide(chat(asked), all_running())


def test_an_unknown_name_lists_the_nearest_first() -> None:
    with pytest.raises(ModelNotFound, match="there is bison, ") as caught:
        policy().decide(chat("bisson"), all_running())
    assert caught.value.model == "bisson"


def test_a_monstrous_name_is_cut() -> None:
    with pytest.raises(ModelNotFound) as caught:
        policy().decide(chat("x" * 1_000_000), all_running())
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("asked", ["large", LARGE, "pinned"])
def test_an_absent_model_says_why(asked: str) -> None:
    with pytest.raises(CardNotInstalled, match="no source of it resolves"):
        policy("small-int8").decide(chat(asked), all_running())


def test_nothing_of_a_chain_installed_says_why() -> None:
    with pytest.raises(CardNotInstalled, match="no fallback of it is installed either"):
        policy("embed").decide(chat("bison"), all_running())


def test_a_chat_with_an_encoder_is_refused_with_what_would_do() -> None:
    with pytest.raises(InvalidRequest, match="ask for one of auto, gecko") as caught:
        policy().decide(chat(VECTORS), all_running())
    assert caught.value.param == "model"


def test_an_embedding_by_a_text_tier_is_refused_with_what_would_do() -> None:
    with pytest.raises(InvalidRequest, match=f"ask for one of auto, {VECTORS}"):
        policy().decide(embedding("gecko"), all_running())


def test_resolve_ignores_load() -> None:
    assert policy().resolve(chat("bison")).deployment == "large"


def test_models_lists_only_names_that_someone_answers() -> None:
    offered = {model.id: model for model in policy("small-int8", "embed").models()}
    assert list(offered) == [
        "auto",
        "gecko",
        "otter",
        "bison",
        SMALL,
        VECTORS,
        "text-bison-001",
        "embedding-gecko-001",
        "clever",
    ]
    assert offered["bison"].tier == "gecko"
    assert offered["embedding-gecko-001"].card.id == VECTORS


@pytest.mark.parametrize(
    ("name", "card_id"), [("text-bison-001", LARGE), ("gecko", SMALL), ("embed", VECTORS)]
)
def test_card_follows_any_name(name: str, card_id: str) -> None:
    assert policy().card(name).id == card_id
