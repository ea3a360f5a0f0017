"""What `build` makes of a profile's arguments, without a cluster."""

from __future__ import annotations

import pytest

from bestiary.errors import ProfileInvalid
from bestiary.garden import InstalledModel
from bestiary.profile.applications import ReplicaArgs
from bestiary.profile.models import EncoderEngine, Queue, Resources, Scaling
from deployments.encoder.app import build


@pytest.fixture
def args(minilm: InstalledModel) -> ReplicaArgs:
    return ReplicaArgs(
        deployment="minilm",
        card=minilm.card,
        resources=Resources(cpus=0.2, memory_gib=0.5),
        scaling=Scaling(),
        queue=Queue(max_ongoing_requests=7, max_queued_requests=9),
        encoder=EncoderEngine(),
    )


def test_the_profile_reaches_the_deployment(args: ReplicaArgs) -> None:
    bound = build(args.model_dump(mode="json"))._bound_deployment
    assert bound.name == "minilm"
    assert (bound.max_ongoing_requests, bound.max_queued_requests) == (7, 9)
    assert bound.num_replicas == 1
    assert bound.ray_actor_options["num_cpus"] == 0.2
    assert bound.ray_actor_options["memory"] == 2**29


def test_different_bounds_make_it_scale(args: ReplicaArgs) -> None:
    scaled = args.model_copy(update={"scaling": Scaling(min_replicas=0, max_replicas=3)})
    bound = build(scaled.model_dump(mode="json"))._bound_deployment
    config = bound._deployment_config.autoscaling_config
    assert (config.min_replicas, config.max_replicas) == (0, 3)


def test_arguments_that_are_not_a_replicas_are_refused() -> None:
    with pytest.raises(ProfileInvalid, match="arguments of an encoder"):
        build({"deployment": "minilm"})
