"""The shipped profiles ask for what the shipped cards can give."""

from __future__ import annotations

from pathlib import Path

import pytest

from bestiary.garden.catalog import Catalog
from bestiary.garden.tasks import tasks_of
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


@pytest.mark.parametrize("profile", ["laptop", "gpu"])
def test_no_encoder_decoder_reads_more_than_its_model_can(profile: str, tmp_path: Path) -> None:
    catalog = Catalog(own=tmp_path)
    too_long = [
        name
        for name, (card, deployment) in deployments(profile).items()
        if deployment.seq2seq
        and deployment.seq2seq.max_source_tokens > catalog.card(card).context_length
    ]
    assert too_long == []


def test_what_runs_beside_the_tiers_on_a_laptop_starts_with_its_first_request() -> None:
    """Each replica is some hundred megabytes."""
    shipped = load_profile("laptop")
    needed = {binding.deployment for binding in shipped.tiers.values()} | {shipped.embedding}
    always = {name for name, one in shipped.deployments.items() if one.scaling.min_replicas}
    assert always == needed


@pytest.mark.parametrize(
    "task",
    [
        "embed",
        "rerank",
        "classify",
        "token-classify",
        "summarize",
        "translate",
        "explain",
        "similarity",
        "token-embed",
        "fill-mask",
        "next-sentence",
        "text-to-image",
        "image-to-image",
        "inpainting",
        "super-resolution",
        "unconditional-image-generation",
        "image-completion",
        "image-likelihood",
        "image-discriminate",
        "image-reconstruct",
        "image-noise",
    ],
)
def test_the_laptop_has_a_model_for_the_task(task: str, tmp_path: Path) -> None:
    catalog = Catalog(own=tmp_path)
    able = [
        card for card, _ in deployments("laptop").values() if task in tasks_of(catalog.card(card))
    ]
    assert able
