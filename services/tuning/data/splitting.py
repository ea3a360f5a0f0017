"""Training examples -> those that are trained on, and those that are held out to measure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from services.tuning.data.examples import Example
from services.tuning.data.fingerprints import fingerprint


def split(
    examples: Sequence[Example], share: float, seed: int
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """(training, held out), each in the order of `examples`.

    Depends on what the examples are and on the seed, on nothing else: a resumed job gets the
    same. Exact duplicates stay together, so nothing that is held out was learned. Each side has
    one example at least, where there are two different ones.
    """
    prints = [fingerprint(example) for example in examples]
    counts = Counter(prints)
    wanted = max(1, round(share * len(examples)))
    ranked = sorted(counts, key=lambda one: _rank(one, seed))
    chosen: set[bytes] = set()
    held = 0
    for one in ranked[:-1]:  # the last one is trained on, whatever the share
        if held >= wanted:
            break
        chosen.add(one)
        held += counts[one]
    pairs = list(zip(examples, prints, strict=True))
    return (
        tuple(example for example, one in pairs if one not in chosen),
        tuple(example for example, one in pairs if one in chosen),
    )


def _rank(one: bytes, seed: int) -> bytes:
    return hashlib.blake2b(one, key=seed.to_bytes(8, "big"), digest_size=16).digest()
