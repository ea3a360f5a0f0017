"""Which seed each candidate of a request has."""

from __future__ import annotations

import secrets

from bestiary.schemas.image import GenerationRequest

SEEDS = 2**63
DRAWN_SEEDS = 2**32  # short enough to be copied by hand


def random_seed() -> int:
    return secrets.randbelow(DRAWN_SEEDS)


def seeds_of(request: GenerationRequest) -> tuple[tuple[int, ...], ...]:
    """For each picture those of its candidates."""
    first = random_seed() if request.seed is None else request.seed
    return tuple(
        tuple((first + image * request.best_of + one) % SEEDS for one in range(request.best_of))
        for image in range(request.images)
    )
