"""The image family's Serve application: `build` for Serve, `prepare` before it."""

from __future__ import annotations

from collections.abc import Mapping

from ray import serve

from bestiary.profile.applications import ReplicaArgs, arguments
from bestiary.profile.serve_options import serve_options
from bestiary.progress import Progress
from bestiary.settings import Settings
from deployments.image.deployment import ImageReplica
from deployments.image.opening import prepare_model

WHOSE = "an image model"
SHUTDOWN_TIMEOUT_S = 10.0


def build(args: Mapping[str, object]) -> serve.Application:
    """`args` is the JSON of `ReplicaArgs`. Raises ProfileInvalid."""
    replica = arguments(ReplicaArgs, args, WHOSE)
    options = serve_options(
        replica.resources,
        replica.scaling,
        replica.queue,
        shutdown_timeout_s=SHUTDOWN_TIMEOUT_S,
    )
    deployment = serve.deployment(ImageReplica, name=replica.deployment, **options)
    application: serve.Application = deployment.bind(replica)
    return application


def prepare(args: Mapping[str, object], progress: Progress) -> None:
    """Installs the card and builds its graphs, so that a replica's start is only a load.

    Raises ProfileInvalid, GardenError, CardNotInstalled and KernelError.
    """
    prepare_model(arguments(ReplicaArgs, args, WHOSE), Settings().home, progress)
