"""`bestiary models add --tier` binds a card to a tier over the profile."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest
from filelock import FileLock

from bestiary.errors import Conflict, ProfileInvalid
from bestiary.garden.card import Family
from bestiary.profile import bindings as module
from bestiary.profile.bindings import (
    apply_bindings,
    bind_tier,
    bindings_file,
    read_bindings,
    unbind_card,
    unbind_tier,
)
from bestiary.profile.models import Profile
from bestiary.schemas.routing import Tier

FAMILIES = {"mine": Family.TEXT, "small": Family.TEXT, "vectors": Family.ENCODER}


@pytest.fixture
def profile() -> Profile:
    return Profile.model_validate(
        {
            "name": "p",
            "deployments": {
                "fast": {"card": "small", "text": {"slots": 2}},
                "good": {
                    "card": "medium",
                    "text": {"slots": 5, "precision": "fp32"},
                    "resources": {"cpus": 3},
                    "scaling": {"max_replicas": 7},
                    "queue": {"max_ongoing_requests": 9},
                },
                "embed": {"card": "vectors", "encoder": {}},
            },
            "tiers": {
                "gecko": {"deployment": "fast"},
                "otter": {"deployment": "good", "fallback": ["gecko"], "price": {"input": 2}},
            },
            "embedding": "embed",
        }
    )


def test_a_home_without_bindings_has_none(tmp_path: Path) -> None:
    assert read_bindings(tmp_path) == {}


def test_what_is_bound_is_read_back(tmp_path: Path) -> None:
    bind_tier(tmp_path / "new", Tier.OTTER, "mine")
    assert bind_tier(tmp_path / "new", Tier.GECKO, "small") == {"otter": "mine", "gecko": "small"}
    assert read_bindings(tmp_path / "new") == {Tier.OTTER: "mine", Tier.GECKO: "small"}


def test_a_later_binding_replaces_an_earlier_one(tmp_path: Path) -> None:
    bind_tier(tmp_path, Tier.OTTER, "mine")
    assert bind_tier(tmp_path, Tier.OTTER, "small") == {Tier.OTTER: "small"}


def test_an_unbound_tier_is_forgotten(tmp_path: Path) -> None:
    bind_tier(tmp_path, Tier.OTTER, "mine")
    assert unbind_tier(tmp_path, Tier.OTTER) == {}
    assert read_bindings(tmp_path) == {}


def test_a_removed_card_is_bound_to_no_tier(tmp_path: Path) -> None:
    for tier, card in ((Tier.GECKO, "mine"), (Tier.OTTER, "small"), (Tier.BISON, "mine")):
        bind_tier(tmp_path, tier, card)
    assert set(unbind_card(tmp_path, "mine")) == {Tier.GECKO, Tier.BISON}
    assert read_bindings(tmp_path) == {Tier.OTTER: "small"}


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    threads = [Thread(target=bind_tier, args=(tmp_path, tier, "mine")) for tier in Tier]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(read_bindings(tmp_path)) == set(Tier)


def test_writing_leaves_no_temporary_file(tmp_path: Path) -> None:
    bind_tier(tmp_path, Tier.OTTER, "mine")
    assert {path.name for path in tmp_path.iterdir()} <= {"bindings.yaml", "bindings.lock"}


def test_a_lock_that_is_never_given_up_is_a_conflict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_TIMEOUT_S", 0.05)
    with FileLock(tmp_path / "bindings.lock"), pytest.raises(Conflict, match=r"bindings\.yaml"):
        bind_tier(tmp_path, Tier.OTTER, "mine")


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("# note\noter: mine\n", 2, "did you mean 'otter'"),
        ("otter: [mine]\n", 1, "otter does not bind a tier to a card id"),
        ("- otter\n", 1, "the file does not bind"),
        ("otter: a\notter: b\n", 2, "given twice"),
    ],
)
def test_a_faulty_file_is_told_with_its_line(
    text: str, line: int, says: str, tmp_path: Path
) -> None:
    bindings_file(tmp_path).write_text(text)
    with pytest.raises(ProfileInvalid, match=says) as caught:
        read_bindings(tmp_path)
    assert caught.value.where == f"{bindings_file(tmp_path)}:{line}"


def test_a_bound_tier_takes_over_how_the_tier_ran(profile: Profile) -> None:
    changed = apply_bindings(profile, {Tier.OTTER: "mine"}, FAMILIES)
    bound = changed.deployments[changed.tiers[Tier.OTTER].deployment]
    assert bound == profile.deployments["good"].model_copy(update={"card": "mine"})


def test_a_bound_tier_keeps_its_contract(profile: Profile) -> None:
    changed = apply_bindings(profile, {Tier.OTTER: "mine"}, FAMILIES)
    before = profile.tiers[Tier.OTTER]
    assert changed.tiers[Tier.OTTER] == before.model_copy(update={"deployment": "bound-otter"})


def test_a_deployment_that_nothing_names_is_dropped(profile: Profile) -> None:
    changed = apply_bindings(profile, {Tier.OTTER: "mine"}, FAMILIES)
    assert set(changed.deployments) == {"fast", "embed", "bound-otter"}


@pytest.mark.parametrize("target", ["good", "medium"])
def test_a_deployment_that_an_alias_names_is_kept(target: str, profile: Profile) -> None:
    aliased = profile.model_copy(update={"aliases": {"text-good-001": target}})
    assert "good" in apply_bindings(aliased, {Tier.OTTER: "mine"}, FAMILIES).deployments


def test_an_open_tier_runs_like_the_largest_and_falls_back_to_it(profile: Profile) -> None:
    changed = apply_bindings(profile, {Tier.BISON: "mine"}, FAMILIES)
    bison = changed.tiers[Tier.BISON]
    assert bison.fallback == (Tier.OTTER,)
    assert changed.deployments[bison.deployment].text == profile.deployments["good"].text
    assert "good" in changed.deployments


def test_no_binding_changes_nothing(profile: Profile) -> None:
    assert apply_bindings(profile, {}, FAMILIES) == profile


def test_a_card_that_the_garden_lacks_is_refused(profile: Profile) -> None:
    with pytest.raises(ProfileInvalid, match=r"'mime'.*did you mean 'mine'\?"):
        apply_bindings(profile, {Tier.OTTER: "mime"}, FAMILIES)


def test_an_encoder_card_is_refused(profile: Profile) -> None:
    with pytest.raises(ProfileInvalid, match="family encoder; tiers are answered by text cards"):
        apply_bindings(profile, {Tier.OTTER: "vectors"}, FAMILIES)
