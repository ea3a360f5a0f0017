"""Cards: which there are, what a wrong one says, which is the largest installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import bestiary.garden
from bestiary.errors import CardInvalid, CardNotInstalled, ModelNotFound
from bestiary.garden import CardRequirement, Family, Garden

MakeCard = Callable[..., str]


def test_public_names_are_sorted_and_there() -> None:
    names = bestiary.garden.__all__
    assert names == sorted(names)
    assert all(hasattr(bestiary.garden, name) for name in names)


def test_shipped_cards_are_valid(garden: Garden) -> None:
    ids = [card.id for card in garden.cards()]
    assert ids == sorted(ids)
    assert {"smollm2-135m-instruct", "all-minilm-l6-v2", "qwen2.5-72b-instruct"} <= set(ids)


def test_offline_cards_come_from_pinned_packages_first(garden: Garden) -> None:
    for card_id in ("smollm2-135m-instruct", "all-minilm-l6-v2"):
        first = garden.card(card_id).sources[0]
        assert first.url.startswith("package://")
        assert first.archive_sha256
        assert first.files


def test_unknown_card_names_the_nearest(garden: Garden) -> None:
    with pytest.raises(ModelNotFound, match="did you mean smollm2-135m-instruct") as caught:
        garden.install("smollm2-135m-instrct")
    assert caught.value.model == "smollm2-135m-instrct"


def test_unknown_card_far_from_all_lists_them(garden: Garden) -> None:
    with pytest.raises(ModelNotFound, match="known: all-minilm-l6-v2, bart"):
        garden.card("xyzzy")


def test_users_card_wins_over_the_shipped_one(garden: Garden, make_card: MakeCard) -> None:
    make_card({"url": "zoo://x"}, card_id="smollm2-135m-instruct")
    assert garden.card("smollm2-135m-instruct").title == "Tiny"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id: [", "not YAML"),
        ("id: x\ncolour: red", "colour: Extra inputs"),
        ("- 1", "card: Input should be a valid dictionary"),
    ],
)
def test_wrong_card_is_refused_with_file_and_field(
    garden: Garden, home: Path, text: str, told: str
) -> None:
    (home / "cards").mkdir(parents=True)
    (home / "cards" / "mine.yaml").write_text(text)
    with pytest.raises(CardInvalid, match=f"mine.yaml: .*{told}"):
        garden.cards()


def test_same_id_twice_is_refused(garden: Garden, home: Path, make_card: MakeCard) -> None:
    make_card({"url": "zoo://x"})
    (home / "cards" / "copy.yaml").write_bytes((home / "cards" / "tiny.yaml").read_bytes())
    with pytest.raises(CardInvalid, match="id 'tiny'"):
        garden.cards()


def test_largest_installed_card_that_meets_the_requirement(
    garden: Garden, model_folder: Path, make_card: MakeCard
) -> None:
    for card_id, parameters in (("small", 10), ("large", 1000), ("absent", 9999)):
        make_card({"url": model_folder.as_uri()}, card_id=card_id, parameters=parameters)
    garden.install("small")
    garden.install("large")
    assert garden.installed_card(CardRequirement()).id == "large"


@pytest.mark.parametrize(
    "requirement",
    [
        CardRequirement(min_parameters=33),
        CardRequirement(family=Family.ENCODER, instruct=False),
    ],
)
def test_no_installed_card_meets_the_requirement(
    garden: Garden, model_folder: Path, make_card: MakeCard, requirement: CardRequirement
) -> None:
    garden.install(make_card({"url": model_folder.as_uri()}))
    with pytest.raises(CardNotInstalled, match="no installed card meets"):
        garden.installed_card(requirement)


def test_card_without_chat_template_does_not_meet_instruct(
    garden: Garden, model_folder: Path, make_card: MakeCard
) -> None:
    garden.install(make_card({"url": model_folder.as_uri()}, instruct=False))
    with pytest.raises(CardNotInstalled):
        garden.installed_card(CardRequirement(instruct=True))
    assert garden.installed_card(CardRequirement(instruct=False)).id == "tiny"
