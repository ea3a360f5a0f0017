"""Whether an image model's build may be loaded: its certificate against its card's tolerance."""

from __future__ import annotations

import logging
from pathlib import Path

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from deployments.kernels.build_cache import kernel_cache
from deployments.kernels.image_build import image_key
from deployments.kernels.image_certify import read_image_certificate

LOG = logging.getLogger(__name__)


def require_tolerated(model: InstalledModel, precision: str, home: Path) -> None:
    """Raises KernelError for a build that is further from float32 than its card allows.

    A build that nobody has measured yet is let through with a warning.
    """
    folder = kernel_cache(home).find(image_key(model, precision))
    certificate = None if folder is None else read_image_certificate(folder)
    if certificate is None:
        LOG.warning(
            "%s in %s is not certified: `bestiary setup` measures it", model.card.id, precision
        )
        return
    tolerance = model.card.image_tolerance_of(precision)
    outside = (
        "nobody has said what it may lose" if tolerance is None else certificate.exceeds(tolerance)
    )
    if outside:
        raise KernelError(
            f"{model.card.id} in {precision} is outside its tolerance: {outside}. Use fp32, or a "
            f"wider tolerance in a copy of the card: image_tolerance: {{{precision}: ...}}"
        )
