"""Documents -> pairs of sentences, half of them neighbours, and what is held out of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from zoo.data.held_out import split
from zoo.data.sentences import Document

SHARE = 0.06
SPLIT_SEED = 11


@dataclass(frozen=True)
class SentencePair:
    first: str
    second: str
    neighbours: bool  # `second` follows `first`


def apart(documents: Iterable[Document]) -> tuple[list[Document], list[Document]]:
    """To train on and held out, whole documents. No sentence of the first half is nearly one
    of the second."""
    return split(dict.fromkeys(documents), lambda document: document, SHARE, SPLIT_SEED)


def pairs(documents: Sequence[Document], seed: int) -> list[SentencePair]:
    """One for every sentence that has a neighbour behind it; the others' second sentences come
    from any other document."""
    draw = random.Random(seed)  # noqa: S311 - examples, no secret
    found = []
    for place, document in enumerate(documents):
        for first, following in pairwise(document):
            neighbours = draw.random() < 0.5
            second = following if neighbours else draw.choice(_other(documents, place, draw))
            found.append(SentencePair(first, second, neighbours))
    draw.shuffle(found)
    return found


def _other(documents: Sequence[Document], place: int, draw: random.Random) -> Document:
    other = draw.randrange(len(documents) - 1)
    return documents[other + (other >= place)]
