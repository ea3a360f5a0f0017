"""What `build` makes of a profile's arguments, without a cluster."""

from __future__ import annotations

import pytest

from bestiary.errors import ProfileInvalid
from bestiary.garden import InstalledModel
from bestiary.profile.applications import ReplicaArgs
from bestiary.profile.models import Queue, Resources, Scaling, Seq2SeqEngine
from deployments.kernels.seq2seq_session import Seq2SeqSession
from deployments.seq2seq.app import build


def test_the_profile_reaches_the_deployment(
    translator: tuple[InstalledModel, Seq2SeqSession],
) -> None:
    args = ReplicaArgs(
        deployment="titles",
        card=translator[0].card,
        resources=Resources(cpus=0.2, memory_gib=0.5),
        scaling=Scaling(min_replicas=1, max_replicas=3),
        queue=Queue(max_ongoing_requests=7, max_queued_requests=9),
        seq2seq=Seq2SeqEngine(precision="int8"),
    )
    bound = build(args.model_dump(mode="json"))._bound_deployment
    assert bound.name == "titles"
    assert (bound.max_ongoing_requests, bound.max_queued_requests) == (7, 9)
    assert bound.ray_actor_options["num_cpus"] == 0.2
    assert bound._deployment_config.autoscaling_config.max_replicas == 3


def test_arguments_that_are_not_a_replicas_are_refused() -> None:
    with pytest.raises(ProfileInvalid, match="arguments of an encoder-decoder"):
        build({"deployment": "titles"})
