"""An installed GAN or upscaler -> a running service: what is done before the first request."""

from __future__ import annotations

from pathlib import Path

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.profile.applications import ReplicaArgs
from bestiary.progress import Progress
from deployments.image.gan.service import GanService
from deployments.image.gan.upscaling import UpscalerService
from deployments.image.limits import limits_of
from deployments.image.networks import open_networks, prepare_networks, row_limits
from deployments.image.opening import engine_options
from deployments.image.single_run import SingleRunService
from deployments.kernels import image_names as names

COLOURS = 3


def prepare(model: InstalledModel, args: ReplicaArgs, home: Path, progress: Progress) -> None:
    """Builds and certifies its graphs. Raises KernelError."""
    prepare_networks(model, args, home, progress)


def open_service(model: InstalledModel, args: ReplicaArgs, home: Path) -> SingleRunService:
    """Raises KernelError."""
    networks = open_networks(model, args, home)
    limits = limits_of(engine_options(args))
    if networks.has(names.GENERATOR):
        return GanService(model, networks, limits, row_limits(args))
    if networks.has(names.UPSCALER):
        factor = int(networks.facts(names.UPSCALER)["factor"])
        # Of one run's pictures together: a fourth of the pixels that a single one may have.
        values = COLOURS * limits.max_pixels // (4 * factor**2)
        return UpscalerService(model, networks, limits, row_limits(args, values))
    raise KernelError(f"{model.card.id} has neither a generator nor an upscaler")
