"""The shipped profiles ask for what the shipped cards can give."""

from __future__ import annotations

from pathlib import Path

import pytest

from bestiary.garden.catalog import Catalog
from bestiary.profile.load import load_profile
from bestiary.profile.models import Deployment


def deployments(profile: str) -> dict[str, tuple[str, Deployment]]:
    """Those that name their card."""
    found = load_profile(profile).deployments
    return {name: (one.card, one) for name, one in found.items() if isinstance(one.card, str)}


@pytest.mark.parametrize("profile", ["laptop", "gpu"])
def test_every_card_is_shipped_and_of_the_right_family(profile: str, tmp_path: Path) -> None:
    catalog = Catalog(own=tmp_path)
    wrong = [
        name
        for name, (card, deployment) in deployments(profile).items()
        if catalog.card(card).family is not deployment.family
    ]
    assert wrong == []


@pytest.mark.parametrize("profile", ["laptop", "gpu"])
def test_no_context_is_longer_than_the_models_own(profile: str, tmp_path: Path) -> None:
    catalog = Catalog(own=tmp_path)
    too_long = [
        name
        for name, (card, deployment) in deployments(profile).items()
        if deployment.text and deployment.text.context > catalog.card(card).context_length
    ]
    assert too_long == []
