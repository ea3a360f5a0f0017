"""The tuning service's Serve application: `build` for Serve, `prepare` for whoever starts it."""

from __future__ import annotations

from collections.abc import Mapping

from ray import serve

from bestiary.profile.applications import TUNING, TuningArgs, arguments
from bestiary.profile.models import Queue, Scaling
from bestiary.profile.serve_options import serve_options
from bestiary.progress import Progress
from services.tuning.deployment import TuningReplica

WHOSE = "the tuning service"
SHUTDOWN_TIMEOUT_S = 5.0


def build(args: Mapping[str, object]) -> serve.Application:
    """`args` is the JSON of `TuningArgs`. Raises ProfileInvalid."""
    validated = arguments(TuningArgs, args, WHOSE)
    tuning = validated.profile.tuning
    assert tuning is not None  # `applications` names this one only where there is such a section
    # One replica: two would start every trainer twice.
    options = serve_options(
        tuning.resources,
        Scaling(max_surge_percent=0),
        Queue(),
        shutdown_timeout_s=SHUTDOWN_TIMEOUT_S,
    )
    deployment = serve.deployment(TuningReplica, name=TUNING, **options)
    application: serve.Application = deployment.bind(validated)
    return application


def prepare(args: Mapping[str, object], progress: Progress) -> None:
    """Nothing but a look at the arguments: the gateway's `prepare` brings up the database."""
    arguments(TuningArgs, args, WHOSE)
