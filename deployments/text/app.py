"""The text family's Serve application: `build` for Serve, `prepare` for whoever starts it."""

from __future__ import annotations

from collections.abc import Mapping

from ray import serve
from ray.serve.config import RequestRouterConfig
from ray.serve.handle import DeploymentHandle

from bestiary.errors import ProfileInvalid
from bestiary.profile.applications import ReplicaArgs, arguments
from bestiary.profile.serve_options import serve_options
from bestiary.progress import Progress
from bestiary.settings import Settings
from deployments.text.deployment import TextReplica
from deployments.text.opening import prepare_model
from deployments.text.request_router import ROUTER_PATH

SHUTDOWN_TIMEOUT_S = 20.0  # running completions may end; most do


def build(args: Mapping[str, object]) -> serve.Application:
    """`args` is the JSON of `ReplicaArgs`. Raises ProfileInvalid."""
    replica = _validated(args)
    options = serve_options(
        replica.resources,
        replica.scaling,
        replica.queue,
        shutdown_timeout_s=SHUTDOWN_TIMEOUT_S,
    )
    deployment = serve.deployment(TextReplica, name=replica.deployment, **options)
    if replica.scaling.max_replicas == 1:
        alone: serve.Application = deployment.bind(replica)
        return alone
    router = RequestRouterConfig(request_router_class=ROUTER_PATH)
    models = deployment.options(request_router_config=router).bind(replica)
    # Serve refuses a router of its own on what could be an application's public door, so
    # a door that nobody uses stands before it: callers take the deployment's own handle.
    door: serve.Application = _Door.options(name=f"{replica.deployment}-door").bind(models)  # type: ignore[attr-defined]  # Serve's decorator
    return door


@serve.deployment(ray_actor_options={"num_cpus": 0})
class _Door:
    def __init__(self, models: DeploymentHandle) -> None:
        """`models` ties the deployment to this application."""


def prepare(args: Mapping[str, object], progress: Progress) -> None:
    """Installs the card and builds its graph, so that a replica's start is only a load.

    Raises ProfileInvalid, GardenError, CardNotInstalled and KernelError.
    """
    prepare_model(_validated(args), Settings().home, progress)


def _validated(args: Mapping[str, object]) -> ReplicaArgs:
    replica = arguments(ReplicaArgs, args, "a text model")
    if replica.text is None:
        raise ProfileInvalid(f"deployment {replica.deployment!r} has no text section")
    return replica
