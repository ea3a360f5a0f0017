"""The text family's Serve application: `build` for Serve, `prepare` for whoever starts it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError
from ray import serve
from ray.serve.config import AutoscalingConfig

from bestiary.errors import ProfileInvalid
from bestiary.profile.applications import ReplicaArgs
from bestiary.profile.models import Resources, Scaling
from bestiary.progress import Progress
from bestiary.settings import Settings
from deployments.text.deployment import TextReplica
from deployments.text.opening import prepare_model

HEALTH_CHECK_PERIOD_S = 2.0  # a dead replica must be noticed well within 30 s
HEALTH_CHECK_TIMEOUT_S = 10.0
SHUTDOWN_TIMEOUT_S = 20.0  # running completions may end; most do
GIB = 1024**3


def build(args: Mapping[str, object]) -> serve.Application:
    """`args` is the JSON of `ReplicaArgs`. Raises ProfileInvalid."""
    replica = _validated(args)
    deployment = serve.deployment(
        TextReplica,
        name=replica.deployment,
        ray_actor_options=_actor_options(replica.resources),
        max_ongoing_requests=replica.queue.max_ongoing_requests,
        max_queued_requests=replica.queue.max_queued_requests,
        graceful_shutdown_timeout_s=SHUTDOWN_TIMEOUT_S,
        health_check_period_s=HEALTH_CHECK_PERIOD_S,
        health_check_timeout_s=HEALTH_CHECK_TIMEOUT_S,
        **_scaling_options(replica.scaling),
    )
    application: serve.Application = deployment.bind(replica)
    return application


def prepare(args: Mapping[str, object], progress: Progress) -> None:
    """Installs the card and builds its graph, so that a replica's start is only a load.

    Raises ProfileInvalid, GardenError, CardNotInstalled and KernelError.
    """
    prepare_model(_validated(args), Settings().home, progress)


def _validated(args: Mapping[str, object]) -> ReplicaArgs:
    try:
        replica = ReplicaArgs.model_validate(args)
    except ValidationError as error:
        raise ProfileInvalid(f"not the arguments of a text model: {error}") from error
    if replica.text is None:
        raise ProfileInvalid(f"deployment {replica.deployment!r} has no text section")
    return replica


def _actor_options(resources: Resources) -> dict[str, float]:
    options = {"num_cpus": resources.cpus, "num_gpus": resources.gpus}
    if resources.memory_gib is not None:
        options["memory"] = resources.memory_gib * GIB
    return options


def _scaling_options(scaling: Scaling) -> dict[str, int | AutoscalingConfig]:
    if scaling.min_replicas == scaling.max_replicas:
        return {"num_replicas": scaling.max_replicas}
    autoscaling = AutoscalingConfig(
        min_replicas=scaling.min_replicas,
        max_replicas=scaling.max_replicas,
        target_ongoing_requests=scaling.target_ongoing_requests,
        upscale_delay_s=scaling.upscale_delay_s,
        downscale_delay_s=scaling.downscale_delay_s,
    )
    return {"autoscaling_config": autoscaling}
