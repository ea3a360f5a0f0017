"""Which examples are never trained on, and which are too much like those to be trained on.

A text's own hash decides, so that the same text is held out in every language, every domain
and every run, whatever else the data has. Near duplicates of a held-out text are taken out of
the training half. Knows strings only.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

NEAR = 0.75  # Jaccard similarity of the sets of words

T = TypeVar("T")
_WORD = re.compile(r"[^\W_]+")


def is_held_out(text: str, share: float, seed: int) -> bool:
    """About `share` of all texts; case, digits and punctuation make no difference."""
    return drawn_for(" ".join(words_of(text)), seed) < share


def drawn_for(key: str, seed: int) -> float:
    """A number in [0, 1) that the key and the seed decide."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def words_of(text: str) -> tuple[str, ...]:
    """Lower case, in order, every digit a zero."""
    return tuple(re.sub(r"\d", "0", word) for word in _WORD.findall(text.lower()))


class NearDuplicates:
    """Finds texts whose words are nearly those of one of `texts`.

    Exact, by prefix filtering: two sets so near share one of the few rarest words of each
    (Bayardo et al., "Scaling up all pairs similarity search", 2007).
    """

    def __init__(self, texts: Iterable[str], near: float = NEAR) -> None:
        self._near = near
        self._sets = sorted(
            {frozenset(words_of(text)) for text in texts} - {frozenset()}, key=sorted
        )
        self._counts = Counter(word for words in self._sets for word in words)
        self._holding: defaultdict[str, list[int]] = defaultdict(list)
        for place, words in enumerate(self._sets):
            for word in self._rarest(words):
                self._holding[word].append(place)

    def has_near(self, text: str) -> bool:
        """Whether |A and B| / |A or B| reaches the limit with any of them."""
        words = frozenset(words_of(text))
        places = {place for word in self._rarest(words) for place in self._holding.get(word, ())}
        return any(self._is_near(words, self._sets[place]) for place in places)

    def _rarest(self, words: frozenset[str]) -> list[str]:
        """So many that a set which shares none of them is not near."""
        ordered = sorted(words, key=lambda word: (self._counts[word], word))
        return ordered[: len(words) - math.ceil(self._near * len(words)) + 1]

    def _is_near(self, one: frozenset[str], other: frozenset[str]) -> bool:
        return len(one & other) >= self._near * len(one | other)


def split(
    found: Iterable[T], texts: Callable[[T], Sequence[str]], share: float, seed: int
) -> tuple[list[T], list[T]]:
    """To train on and held out. An example's first text decides, and no text of the first half
    is nearly one of the second."""
    rest: list[T] = []
    held_out: list[T] = []
    for one in found:
        (held_out if is_held_out(texts(one)[0], share, seed) else rest).append(one)
    near = NearDuplicates(text for one in held_out for text in texts(one))
    training = [one for one in rest if not any(map(near.has_near, texts(one)))]
    return training, held_out
