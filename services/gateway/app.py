"""The gateway's Serve application: `build` for Serve, `prepare` for whoever starts it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError
from ray import serve
from ray.serve.config import AutoscalingConfig, BackpressureConfig

from bestiary.errors import ProfileInvalid
from bestiary.profile.applications import GATEWAY, GatewayArgs
from bestiary.progress import Progress
from bestiary.settings import Settings
from bestiary.state.upgrade import upgrade
from services.gateway.deployment import Gateway

HEALTH_CHECK_PERIOD_S = 2.0  # a dead replica must be noticed well within 30 s
HEALTH_CHECK_TIMEOUT_S = 10.0
SHUTDOWN_TIMEOUT_S = 10.0
RETRY_AFTER_S = 1.0


def build(args: Mapping[str, object]) -> serve.Application:
    """`args` is the JSON of `GatewayArgs`. Raises ProfileInvalid."""
    validated = _validated(args)
    gateway = validated.profile.gateway
    scaling = gateway.scaling
    deployment = serve.deployment(
        Gateway,
        name=GATEWAY,
        max_ongoing_requests=gateway.max_ongoing_requests,
        max_queued_requests=gateway.max_ongoing_requests,
        autoscaling_config=AutoscalingConfig(
            min_replicas=max(1, scaling.min_replicas),  # a door at zero could wake nobody
            max_replicas=scaling.max_replicas,
            target_ongoing_requests=scaling.target_ongoing_requests,
            upscale_delay_s=scaling.upscale_delay_s,
            downscale_delay_s=scaling.downscale_delay_s,
        ),
        ray_actor_options={"num_cpus": gateway.resources.cpus},
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=RETRY_AFTER_S),
        health_check_period_s=HEALTH_CHECK_PERIOD_S,
        health_check_timeout_s=HEALTH_CHECK_TIMEOUT_S,
        graceful_shutdown_timeout_s=SHUTDOWN_TIMEOUT_S,
    )
    application: serve.Application = deployment.bind(validated)
    return application


def prepare(args: Mapping[str, object], progress: Progress) -> None:
    """Brings the state's database to the newest schema. Safe to run in several processes.

    Raises ProfileInvalid, or Unavailable where the database does not answer.
    """
    _validated(args)
    with progress.step("State database") as task:
        upgrade(Settings().resolved_database_url)
        task.advance()


def _validated(args: Mapping[str, object]) -> GatewayArgs:
    try:
        return GatewayArgs.model_validate(args)
    except ValidationError as error:
        raise ProfileInvalid(f"not the arguments of the gateway: {error}") from error
