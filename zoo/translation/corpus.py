"""The pairs of `zoo.data.parallel_texts`, apart: to train on, and held out. Knows no tokens."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.data.held_out import NearDuplicates, is_held_out
from zoo.data.parallel_texts import Pair, pairs

SHARE = 0.06
SPLIT_SEED = 7


@dataclass(frozen=True)
class Corpus:
    training: tuple[Pair, ...]
    held_out: tuple[Pair, ...]


def corpus() -> Corpus:
    return split(pairs())


def split(found: list[Pair]) -> Corpus:
    """A source is held out in all languages or in none. No source of the training half is
    nearly one of the held-out half, and no target neither."""
    held_out = [pair for pair in found if is_held_out(pair.source, SHARE, SPLIT_SEED)]
    kept = [pair for pair in found if not is_held_out(pair.source, SHARE, SPLIT_SEED)]
    sources = NearDuplicates(pair.source for pair in held_out)
    targets = NearDuplicates(pair.target for pair in held_out)
    training = (
        pair
        for pair in kept
        if not sources.has_near(pair.source) and not targets.has_near(pair.target)
    )
    return Corpus(tuple(training), tuple(held_out))
