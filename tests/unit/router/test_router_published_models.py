"""Published models over a profile: where each is served, and what to do where it is not."""

from __future__ import annotations

import re

import pytest
from router_fakes import (
    COLD,
    LARGE,
    NAMES,
    SMALL,
    VECTORS,
    chat,
    embedding,
    overloaded,
    profile,
    running,
    served,
)
from router_published import (
    HOME,
    TUNED,
    laid,
    profile_with_adapters,
    published,
    whole,
)

from bestiary.errors import CardNotInstalled, ModelNotFound, ProfileInvalid
from bestiary.garden.card import Family
from bestiary.profile.applications import ReplicaArgs
from bestiary.profile.models import Profile
from bestiary.profile.published import Laid, application_of, deployment_name
from services.router.policy import RoutingPolicy

OWN = deployment_name(TUNED)
ALL_RUN = {name: running() for name in NAMES}


def policy(over: Laid) -> RoutingPolicy:
    return RoutingPolicy(over.profile, over.served, over.absent)


def places(over: Laid, model: str = TUNED) -> list[str]:
    return [one.deployment for one in over.served if one.card.id == model]


def test_an_adapter_is_served_by_those_deployments_of_its_base_that_take_adapters() -> None:
    over = laid(published())
    decision = policy(over).decide(chat(TUNED), ALL_RUN)
    assert places(over) == ["small-fp32"]
    assert (decision.model, decision.deployment, decision.reason) == (
        TUNED,
        "small-fp32",
        "requested-model",
    )
    assert decision.adapter is not None
    assert decision.adapter.name == TUNED
    assert decision.adapter.folder == HOME / "tuned/1a2b3c4d"


def test_the_base_stays_what_it_was() -> None:
    rules = policy(laid(published()))
    for name in (SMALL, "otter", "small-fp32"):
        decision = rules.decide(chat(name), ALL_RUN)
        assert (decision.model, decision.adapter) == (SMALL, None)


def test_an_adapter_goes_to_the_least_loaded_of_its_deployments() -> None:
    both = profile_with_adapters().model_dump(mode="json")
    both["deployments"]["small-int8"]["text"] |= {"adapter_slots": 1}
    rules = policy(laid(published(), over=Profile.model_validate(both)))
    busy = ALL_RUN | {"small-int8": overloaded()}
    assert rules.decide(chat(TUNED), ALL_RUN).deployment == "small-int8"
    assert rules.decide(chat(TUNED), busy).deployment == "small-fp32"


@pytest.mark.parametrize(
    ("over", "rank", "reason"),
    [
        (profile(), 8, "set text.adapter_slots over 0 and text.adapter_rank to at least 8"),
        (profile_with_adapters(rank=16), 32, "set text.adapter_rank to at least 32"),
    ],
)
def test_an_adapter_that_nobody_takes_says_what_to_set(
    over: Profile, rank: int, reason: str
) -> None:
    rules = policy(laid(published(rank=rank), over=over))
    with pytest.raises(CardNotInstalled, match=reason) as caught:
        rules.decide(chat(TUNED), ALL_RUN)
    assert "small-int8, small-fp32" in str(caught.value)
    assert rules.knows(TUNED)
    assert TUNED not in [offered.id for offered in rules.models()]


def test_an_adapter_without_its_base_says_so() -> None:
    rules = policy(laid(published(base="gone")))
    with pytest.raises(CardNotInstalled, match="base model gone is not served"):
        rules.decide(chat(TUNED), ALL_RUN)


def test_an_adapter_over_an_encoder_is_no_crash() -> None:
    over = laid(published(base=VECTORS))
    assert "tune the whole model" in over.absent[TUNED]


def test_a_whole_model_has_a_deployment_like_its_bases() -> None:
    over = laid(whole(base=LARGE))
    own = over.profile.deployments[OWN]
    large = over.profile.deployments["large"]
    assert places(over) == [OWN]
    assert (own.card, own.text, own.queue) == (TUNED, large.text, large.queue)
    assert (own.scaling.min_replicas, own.scaling.max_replicas) == (0, 1)
    assert own.scaling.downscale_delay_s == 600


def test_a_whole_model_wakes_for_its_first_request() -> None:
    decision = policy(laid(whole())).decide(chat(TUNED), ALL_RUN | {OWN: COLD})
    assert (decision.deployment, decision.adapter) == (OWN, None)


def test_a_whole_encoder_answers_embeddings() -> None:
    rules = policy(laid(whole(base=VECTORS, family=Family.ENCODER)))
    assert rules.decide(embedding(TUNED), ALL_RUN | {OWN: running()}).deployment == OWN


def test_a_base_that_has_no_deployment_lends_the_engine_of_its_family() -> None:
    over = laid(whole(base="only-installed"))
    assert over.profile.deployments[OWN].text == over.profile.deployments["small-int8"].text


def test_a_family_without_a_deployment_cannot_be_served() -> None:
    model = whole(family=Family.SEQ2SEQ)
    assert "no seq2seq deployment" in laid(model).absent[TUNED]
    with pytest.raises(ProfileInvalid, match="no seq2seq deployment"):
        application_of(profile(), model)


def test_the_operators_own_deployment_is_never_replaced() -> None:
    raw = profile().model_dump(mode="json")
    raw["deployments"][OWN] = {"card": LARGE, "text": {}}
    over = laid(whole(), over=Profile.model_validate(raw))
    assert over.profile.deployments[OWN].card == LARGE
    assert "already" in over.absent[TUNED]


def test_an_adapter_with_replicas_of_its_own_is_served_there_first_and_by_its_base() -> None:
    over = laid(published(min_replicas=2))
    own = over.profile.deployments[OWN]
    assert places(over) == [OWN, "small-fp32"]
    assert (own.card, own.scaling.min_replicas, own.scaling.max_replicas) == (SMALL, 2, 2)
    assert policy(over).decide(chat(TUNED), ALL_RUN | {OWN: running()}).deployment == OWN
    assert policy(over).decide(chat(TUNED), ALL_RUN | {OWN: COLD}).deployment == "small-fp32"


def test_replicas_of_its_own_take_an_adapter_that_no_others_do() -> None:
    over = laid(published(min_replicas=1, rank=64), over=profile())
    engine = over.profile.deployments[OWN].text
    assert places(over) == [OWN]
    assert engine is not None
    assert (engine.adapter_slots, engine.adapter_rank) == (1, 64)


def test_an_adapter_over_a_published_model_is_served_by_its_deployment() -> None:
    second = f"ft:{SMALL}:more:ffff0000"
    over = laid(whole(), published(second, base=TUNED), over=_everybody_takes())
    assert places(over, second) == [OWN]


def test_no_adapter_goes_over_another() -> None:
    second = f"ft:{SMALL}:more:ffff0000"
    over = laid(published(), published(second, base=TUNED))
    assert places(over, second) == []
    assert second in over.absent


def test_the_application_is_what_the_router_expects() -> None:
    for model in (whole(), published(min_replicas=1)):
        over = laid(model)
        spec = application_of(profile_with_adapters(), model, served(*NAMES))
        args = ReplicaArgs.model_validate(spec.args)
        assert (spec.name, spec.import_path) == (OWN, "deployments.text.app:build")
        assert (args.text, args.scaling) == (
            over.profile.deployments[OWN].text,
            over.profile.deployments[OWN].scaling,
        )
        assert args.card.id == over.profile.deployments[OWN].card


@pytest.mark.parametrize(
    ("model_id", "name"),
    [
        ("ft:base:suffix:1a2b3c4d", "ft-1a2b3c4d"),
        ("ft:org/base:a-b.c:Q_w/E", "ft-w"),
        (f"ft:base:s:{'a' * 90}", f"ft-{'a' * 40}"),
    ],
)
def test_a_deployments_name_fits_a_profile(model_id: str, name: str) -> None:
    assert deployment_name(model_id) == name
    assert re.fullmatch(r"[a-z0-9](?:[a-z0-9.-]{0,46}[a-z0-9])?", name)


def test_published_models_are_listed_as_cards() -> None:
    offered = {one.id: one for one in policy(laid(published())).models()}
    assert (offered[TUNED].kind, offered[TUNED].deployment) == ("card", "small-fp32")


def test_an_unknown_one_is_not_found_and_the_known_ones_are_told() -> None:
    rules = policy(laid(published()))
    with pytest.raises(ModelNotFound, match=f"there is {TUNED}"):
        rules.decide(chat(f"ft:{SMALL}:pets:00000000"), ALL_RUN)


def test_what_is_laid_does_not_change_the_profile_under_it() -> None:
    under = profile_with_adapters()
    laid(whole(), over=under)
    assert OWN not in under.deployments


def test_a_profile_with_published_models_is_valid() -> None:
    over = laid(whole(), published(f"ft:{SMALL}:x:22222222", min_replicas=1))
    assert Profile.model_validate(over.profile.model_dump()) == over.profile


def _everybody_takes() -> Profile:
    raw = profile().model_dump(mode="json")
    for one in raw["deployments"].values():
        if one["text"] is not None:
            one["text"] |= {"adapter_slots": 2}
    return Profile.model_validate(raw)
