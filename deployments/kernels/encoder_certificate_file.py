"""`certificate.json` beside an encoder's build, and whether the build may be loaded.

Knows the file and the card's bounds; what is measured is `encoder_certify.py`'s.
"""

from __future__ import annotations

import logging
from pathlib import Path

from bestiary.errors import KernelError
from bestiary.garden.card import ModelCard
from bestiary.garden.encoder_certificate import CertifiedEncoder, EncoderCertificate
from deployments.kernels.build_cache import kernel_cache
from deployments.kernels.certificate_file import read_record
from deployments.kernels.encoder_names import BUILD_VERSION, ENCODER

LOG = logging.getLogger(__name__)


def read_encoder_certificate(folder: Path) -> EncoderCertificate | None:
    """See `read_record`."""
    return read_record(folder, EncoderCertificate)


def encoder_builds(home: Path, revision: str) -> tuple[CertifiedEncoder, ...]:
    """The builds that exist of these weights, with the certificates that they have."""
    found = [
        CertifiedEncoder(
            precision=build.key.precision,
            bytes=build.bytes,
            certificate=read_encoder_certificate(build.folder),
        )
        for build in kernel_cache(home).builds(ENCODER, revision)
        if build.key.builder_version == BUILD_VERSION  # older ones are never loaded again
    ]
    return tuple(sorted(found, key=lambda build: build.precision))


def require_tolerated(card: ModelCard, precision: str, folder: Path) -> None:
    """Raises KernelError for a build that is further from float32 than its card allows.

    A build that nobody could measure is let through with a warning.
    """
    certificate = read_encoder_certificate(folder)
    if certificate is None or certificate.parity is None:
        reason = certificate.not_certified if certificate else "`bestiary setup` measures it"
        LOG.warning("%s in %s is not certified: %s", card.id, precision, reason)
        return
    tolerance = card.encoder_tolerance_of(precision)
    if tolerance is None:
        raise KernelError(f"the card {card.id} has no tolerance for {precision}")
    outside = certificate.parity.exceeds(tolerance)
    if outside:
        raise KernelError(
            f"{card.id} in {precision} is outside its tolerance: {outside}. Use a finer precision "
            "(fp32 is exact), or allow it in a copy of the card under <home>/cards: "
            f"encoder_tolerance: {{{precision}: {{mean_cosine_error: ..., max_cosine_error: ..., "
            "head_shift: ...}}}"
        )
