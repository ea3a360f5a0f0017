"""The graphs of an installed image model: built and certified before a replica starts, opened
when it does.

For the rooms other than diffusion, whose pictures mostly are one run. Knows no requests.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.garden.image_certificate import PipelineParity
from bestiary.profile.applications import ReplicaArgs
from bestiary.progress import Progress, Silent
from deployments.image.opening import engine_options, kernels_of
from deployments.image.refusals import facts_of
from deployments.image.row_batcher import NO_BOUND, RowLimits
from deployments.kernels import image_names as names
from deployments.kernels.image_build import build_image_once
from deployments.kernels.image_certify import certify_image_once, psnr
from deployments.kernels.image_session import ImageParts, open_parts
from deployments.kernels.image_tolerated import require_tolerated

ONE_RUN = "none"  # of a certificate's pipeline: nothing is stepped through


def prepare_networks(
    model: InstalledModel,
    args: ReplicaArgs,
    home: Path,
    progress: Progress,
    pipeline: Callable[[ImageParts], PipelineParity] | None = None,
) -> None:
    """`pipeline` compares whole pictures where one run does not make them.

    Raises KernelError, and that for a build that is outside its card's tolerance too.
    """
    kernels = kernels_of(args)
    folder = build_image_once(model, kernels.precision, home, progress)
    whole = pipeline or pictures_beside_torch(folder)
    certify_image_once(model, kernels.precision, home, progress, whole, kernels.providers)
    require_tolerated(model, kernels.precision, home)


def open_networks(model: InstalledModel, args: ReplicaArgs, home: Path) -> ImageParts:
    """Raises KernelError, and that for a build that is outside its card's tolerance too."""
    kernels = kernels_of(args)
    folder = build_image_once(model, kernels.precision, home, Silent())
    require_tolerated(model, kernels.precision, home)
    return open_parts(folder, kernels.precision, args.resources.threads, kernels.providers)


def pictures_beside_torch(folder: Path) -> Callable[[ImageParts], PipelineParity]:
    """Of what makes pictures, which is the whole pipeline here: from the build's stated inputs."""

    def compared(parts: ImageParts) -> PipelineParity:
        made_by = [name for name in names.MAKES_PICTURES if parts.has(name)]
        if not made_by:
            raise KernelError("no part of it makes a picture in one run")
        worst = 100.0
        with np.load(folder / names.REFERENCE_FILE) as kept:
            for part in made_by:
                prefix = f"{part}/in/"
                given = {
                    name.removeprefix(prefix): kept[name]
                    for name in kept.files
                    if name.startswith(prefix)
                }
                made, true = parts.run(part, given)[0], kept[f"{part}/out/{names.IMAGE}"]
                worst = min(worst, *(psnr(*pair) for pair in zip(made, true, strict=True)))
        return PipelineParity(seeds=(), sampler=ONE_RUN, steps=1, psnr=worst)

    return compared


def row_limits(args: ReplicaArgs, max_values: int = NO_BOUND) -> RowLimits:
    """The pictures of one run have no more pixels together than a single one may have, but for a
    run of one. `max_values`: numbers that go into one run."""
    engine, facts = engine_options(args), facts_of(args.card)
    return RowLimits(
        max_rows=max(1, min(engine.rows, engine.max_pixels // (facts.width * facts.height))),
        max_wait_s=engine.max_wait_ms / 1e3,
        max_requests=args.queue.max_ongoing_requests,
        max_values=max_values,
    )
