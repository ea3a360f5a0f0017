"""The gateway's Serve application: `build` for Serve, `prepare` for whoever starts it."""

from __future__ import annotations

from collections.abc import Mapping

from ray import serve
from ray.serve.config import BackpressureConfig

from bestiary.profile.applications import GATEWAY, GatewayArgs, arguments
from bestiary.profile.models import Queue, Scaling
from bestiary.profile.serve_options import serve_options
from bestiary.progress import Progress
from bestiary.settings import Settings
from bestiary.state.upgrade import upgrade
from services.gateway.deployment import Gateway

WHOSE = "the gateway"
SHUTDOWN_TIMEOUT_S = 10.0
RETRY_AFTER_S = 1.0


def build(args: Mapping[str, object]) -> serve.Application:
    """`args` is the JSON of `GatewayArgs`. Raises ProfileInvalid."""
    validated = arguments(GatewayArgs, args, WHOSE)
    gateway = validated.profile.gateway
    options = serve_options(
        gateway.resources,
        _never_empty(gateway.scaling),
        Queue(
            max_ongoing_requests=gateway.max_ongoing_requests,
            max_queued_requests=gateway.max_ongoing_requests,
        ),
        shutdown_timeout_s=SHUTDOWN_TIMEOUT_S,
    )
    deployment = serve.deployment(
        Gateway,
        name=GATEWAY,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=RETRY_AFTER_S),
        **options,
    )
    application: serve.Application = deployment.bind(validated)
    return application


def _never_empty(scaling: Scaling) -> Scaling:
    """A door at zero replicas could wake nobody."""
    return scaling.model_copy(update={"min_replicas": max(1, scaling.min_replicas)})


def prepare(args: Mapping[str, object], progress: Progress) -> None:
    """Brings the state's database to the newest schema. Safe to run in several processes.

    Raises ProfileInvalid, or Unavailable where the database does not answer.
    """
    arguments(GatewayArgs, args, WHOSE)
    with progress.step("State database") as task:
        upgrade(Settings().resolved_database_url)
        task.advance()
