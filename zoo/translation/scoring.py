"""How good translations are: sacreBLEU's BLEU and chrF, by language, domain and length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from training.text_scores import bleu, chrf
from zoo.data.parallel_texts import Pair

LENGTHS = ((1, 3), (4, 6), (7, 9), (10, 12), (13, 15), (16, 18), (19, 21), (22, 25))  # words


@dataclass(frozen=True)
class Score:
    bleu: float
    chrf: float
    pairs: int


def score(pairs: Sequence[Pair], outputs: Sequence[str]) -> Score:
    """Over the corpus. Both between 0 and 100."""
    references = [pair.target for pair in pairs]
    return Score(bleu(references, outputs), chrf(references, outputs), len(pairs))


def scores_by(
    pairs: Sequence[Pair], outputs: Sequence[str], key: Callable[[Pair], str]
) -> dict[str, Score]:
    """In the order in which the keys come first."""
    keys: Iterable[str] = dict.fromkeys(map(key, pairs))
    found = {}
    for one in keys:
        places = [place for place, pair in enumerate(pairs) if key(pair) == one]
        found[one] = score([pairs[place] for place in places], [outputs[place] for place in places])
    return found


def length_of(pair: Pair) -> str:
    """The bucket of the source's words."""
    words = len(pair.source.split())
    low, high = next((low, high) for low, high in LENGTHS if low <= words <= high)
    return f"{low}-{high}"
