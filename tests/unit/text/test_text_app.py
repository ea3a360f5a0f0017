"""The Serve application that a profile's text deployment becomes."""

from __future__ import annotations

import pytest

from bestiary.errors import ProfileInvalid
from bestiary.garden.card import Family, ModelCard, Source
from bestiary.profile.applications import ReplicaArgs
from bestiary.profile.models import Queue, Resources, Scaling, TextEngine
from deployments.text.app import build
from deployments.text.opening import engine_options

CARD = ModelCard(
    id="tiny",
    family=Family.TEXT,
    architecture="LlamaForCausalLM",
    title="Tiny",
    parameters=10,
    context_length=512,
    license="MIT",
    provenance="a test",
    sources=(Source(url="zoo://tiny"),),
)


def args(**fields: object) -> ReplicaArgs:
    filled = {
        "deployment": "tiny-int8",
        "card": CARD,
        "resources": Resources(),
        "scaling": Scaling(),
        "queue": Queue(),
        "text": TextEngine(),
    }
    return ReplicaArgs.model_validate(filled | fields)


def test_the_deployment_has_its_name_bounds_and_resources() -> None:
    made = args(
        resources=Resources(cpus=2, gpus=1, memory_gib=3),
        queue=Queue(max_ongoing_requests=9, max_queued_requests=5),
    )
    deployment = build(made.model_dump(mode="json"))._bound_deployment
    assert deployment.name == "tiny-int8"
    assert (deployment.max_ongoing_requests, deployment.max_queued_requests) == (9, 5)
    assert deployment.ray_actor_options == {"num_cpus": 2, "num_gpus": 1, "memory": 3 * 1024**3}


def behind_the_door(application):
    """Several replicas stand behind a door, so that callers' requests can be routed by prefix."""
    (models,) = application._bound_deployment.init_args
    return models._bound_deployment


def test_equal_bounds_are_a_fixed_number_of_replicas() -> None:
    made = args(scaling=Scaling(min_replicas=2, max_replicas=2))
    assert behind_the_door(build(made.model_dump(mode="json"))).num_replicas == 2


def test_different_bounds_scale() -> None:
    made = args(scaling=Scaling(min_replicas=0, max_replicas=3, target_ongoing_requests=7))
    deployment = behind_the_door(build(made.model_dump(mode="json")))
    scaling = deployment._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas) == (0, 3)
    assert scaling.target_ongoing_requests == 7


def test_arguments_that_are_none_are_refused() -> None:
    with pytest.raises(ProfileInvalid, match="deployment"):
        build({"deployment": 3})


def test_a_deployment_without_a_text_section_is_refused() -> None:
    with pytest.raises(ProfileInvalid, match="no text section"):
        build(args(text=None).model_dump(mode="json"))


def test_the_engines_context_is_never_over_the_cards() -> None:
    assert engine_options(args(text=TextEngine(context=4096))).context == 512
    assert engine_options(args(text=TextEngine(context=128))).context == 128
