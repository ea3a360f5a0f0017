"""The image family as Serve sees it: one replica class for four kinds of model."""

from __future__ import annotations

import inspect
from typing import get_type_hints

import pytest

from bestiary.errors import ProfileInvalid
from bestiary.garden.card import Family, ModelCard, Source
from bestiary.garden.image_facts import ImageFacts
from bestiary.profile.applications import FAMILY_IMPORT_PATHS, ReplicaArgs
from bestiary.profile.models import ImageEngine, Queue, Resources, Scaling
from bestiary.schemas.image import ImageFamily
from deployments.image.app import build
from deployments.image.deployment import ImageReplica
from deployments.image.opening import ROOMS, room_of
from deployments.image.service import ImageService

METHODS = (
    "encode_image",
    "decode_image",
    "reconstruct",
    "interpolate",
    "discriminate",
    "likelihood",
    "noise",
    "trajectory",
    "generate_images",
)


def args(kind: ImageFamily = ImageFamily.DIFFUSION) -> ReplicaArgs:
    card = ModelCard(
        id="some",
        family=Family.IMAGE,
        architecture="DDPMPipeline",
        title="some",
        parameters=1,
        license="MIT",
        provenance="nobody",
        sources=(Source(url="zoo://some"),),
        image=ImageFacts(family=kind, width=8, height=8),
    )
    return ReplicaArgs(
        deployment="some-images",
        card=card,
        resources=Resources(),
        scaling=Scaling(min_replicas=0),
        queue=Queue(),
        image=ImageEngine(),
    )


def test_an_application_is_built_from_json() -> None:
    application = build(args().model_dump(mode="json"))
    assert application._bound_deployment.name == "some-images"
    assert FAMILY_IMPORT_PATHS[Family.IMAGE] == "deployments.image.app:build"


def test_what_is_no_replica_is_refused() -> None:
    with pytest.raises(ProfileInvalid, match="an image model"):
        build({"deployment": "x"})


@pytest.mark.parametrize("kind", list(ImageFamily))
def test_every_kind_has_a_room_that_prepares_and_opens(kind: ImageFamily) -> None:
    room = room_of(args(kind))
    assert room.__name__ == ROOMS[kind]  # type: ignore[attr-defined]
    for name in ("prepare", "open_service"):
        assert callable(getattr(room, name))


@pytest.mark.parametrize("name", METHODS)
def test_a_replica_asks_its_service_what_it_is_asked(name: str) -> None:
    asked, answers = (get_type_hints(getattr(one, name)) for one in (ImageReplica, ImageService))
    assert asked == answers
    kind = inspect.isasyncgenfunction if name == "generate_images" else inspect.iscoroutinefunction
    assert kind(getattr(ImageReplica, name))


def test_a_card_of_another_family_has_no_section_of_images() -> None:
    with pytest.raises(ValueError, match="section `image`"):
        ModelCard.model_validate(args().card.model_dump() | {"family": "text"})
    with pytest.raises(ValueError, match="section `image`"):
        ModelCard.model_validate(args().card.model_dump() | {"image": None})
