"""What the profile says of replicas, as the plain options that `ray.serve.deployment` takes.

One place for every application, so that families differ in what they run and not
in how they are restarted or scaled. Knows Serve's option names and imports no Ray.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

from bestiary.profile.models import Queue, Resources, Scaling

HEALTH_CHECK_PERIOD_S = 2.0  # a dead replica must be noticed well within 30 s
HEALTH_CHECK_TIMEOUT_S = 10.0
GIB = 1024**3


class AutoscalingOptions(TypedDict):
    """Fields of `ray.serve.config.AutoscalingConfig`."""

    min_replicas: int
    max_replicas: int
    target_ongoing_requests: float
    upscale_delay_s: float
    downscale_delay_s: float


class ServeOptions(TypedDict):
    """Keyword arguments of `ray.serve.deployment`."""

    ray_actor_options: dict[str, float]
    max_ongoing_requests: int
    max_queued_requests: int
    health_check_period_s: float
    health_check_timeout_s: float
    graceful_shutdown_timeout_s: float
    max_surge_percent: int
    num_replicas: NotRequired[int]
    autoscaling_config: NotRequired[AutoscalingOptions]


def serve_options(
    resources: Resources, scaling: Scaling, queue: Queue, *, shutdown_timeout_s: float
) -> ServeOptions:
    """`shutdown_timeout_s`: how long a replica that is told to stop may finish what runs."""
    options = ServeOptions(
        ray_actor_options=_actor_options(resources),
        max_ongoing_requests=queue.max_ongoing_requests,
        max_queued_requests=queue.max_queued_requests,
        health_check_period_s=HEALTH_CHECK_PERIOD_S,
        health_check_timeout_s=HEALTH_CHECK_TIMEOUT_S,
        graceful_shutdown_timeout_s=shutdown_timeout_s,
        max_surge_percent=scaling.max_surge_percent,
    )
    if scaling.min_replicas == scaling.max_replicas:
        options["num_replicas"] = scaling.max_replicas
    else:
        options["autoscaling_config"] = AutoscalingOptions(
            min_replicas=scaling.min_replicas,
            max_replicas=scaling.max_replicas,
            target_ongoing_requests=scaling.target_ongoing_requests,
            upscale_delay_s=scaling.upscale_delay_s,
            downscale_delay_s=scaling.downscale_delay_s,
        )
    return options


def _actor_options(resources: Resources) -> dict[str, float]:
    options = {"num_cpus": resources.cpus, "num_gpus": resources.gpus}
    if resources.memory_gib is not None:
        options["memory"] = resources.memory_gib * GIB
    return options
