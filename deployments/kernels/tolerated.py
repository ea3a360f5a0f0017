"""Whether a build may be loaded: its certificate against its card's tolerance."""

from __future__ import annotations

import logging
from pathlib import Path

from bestiary.errors import KernelError
from bestiary.garden.card import ModelCard
from bestiary.garden.certificate import Certificate, Parity
from deployments.kernels.certificate_file import read_certificate

LOG = logging.getLogger(__name__)


def require_tolerated(card: ModelCard, precision: str, folder: Path) -> None:
    """Raises KernelError for a build that is further from float32 than its card allows, and
    for a lossy precision that the card does not mention.

    A build that nobody could measure is let through with a warning.
    """
    tolerance = card.tolerance_of(precision)
    certificate = read_certificate(folder)
    parity = None if certificate is None else certificate.parity
    if tolerance is None:
        raise KernelError(
            f"{precision} is lossy, and the card {card.id} does not allow it: {_measured(parity)}. "
            "Use int8 or w8a16, or allow it in a copy of the card under "
            f"<home>/cards: tolerance: {{{precision}: {{max_kl: ..., min_top1: ...}}}}"
        )
    if parity is None:
        LOG.warning("%s in %s is not certified: %s", card.id, precision, _reason(certificate))
        return
    if parity.kl > tolerance.max_kl or parity.top1 < tolerance.min_top1:
        raise KernelError(
            f"{card.id} in {precision} is outside its tolerance: {_measured(parity)}; allowed are "
            f"a KL of at most {tolerance.max_kl} and {tolerance.min_top1:.1%}. Use a finer "
            f"precision (fp32 is exact), or a wider tolerance in the card"
        )


def _measured(parity: Parity | None) -> str:
    if parity is None:
        return "it was not measured"
    return (
        f"against float32 its KL is {parity.kl:.4f} nats per token and "
        f"{parity.top1:.1%} of its first choices are the same"
    )


def _reason(certificate: Certificate | None) -> str:
    if certificate is None:
        return "`bestiary setup` measures it"
    return certificate.not_certified
