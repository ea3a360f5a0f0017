"""An installed VAE -> a running service: what a replica does before its first request."""

from __future__ import annotations

from pathlib import Path

from bestiary.garden import InstalledModel
from bestiary.profile.applications import ReplicaArgs
from bestiary.progress import Progress
from deployments.image.limits import limits_of
from deployments.image.networks import open_networks, prepare_networks, row_limits
from deployments.image.opening import engine_options
from deployments.image.vae.service import VaeService


def prepare(model: InstalledModel, args: ReplicaArgs, home: Path, progress: Progress) -> None:
    """Builds and certifies its graphs. Raises KernelError."""
    prepare_networks(model, args, home, progress)


def open_service(model: InstalledModel, args: ReplicaArgs, home: Path) -> VaeService:
    """Raises KernelError."""
    return VaeService(
        model, open_networks(model, args, home), limits_of(engine_options(args)), row_limits(args)
    )
