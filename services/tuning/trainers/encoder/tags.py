"""Tags of words <-> labels of what the model reads, and the spans that tags mean.

A replica gives a label to each word that its tokenizer finds, by the word's first piece, and
its words are smaller than ours ("don't" is three). So each of them is taught: the first one in
a tagged word has its tag, the others go on with it. What is measured is our words alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Encoding

from services.tuning.data.examples import TaggedTokens
from training.padding import IGNORED
from training.spans import OUTSIDE, Span, spans_of

BEGIN, INSIDE = "B-", "I-"


@dataclass(frozen=True, slots=True)
class TaggedPieces:
    labels: tuple[int, ...]  # of each piece; IGNORED but for the first ones of words
    places: tuple[int, ...]  # the first pieces of the example's own words, as many as were read


def text_of(example: TaggedTokens) -> str:
    """As a replica gets it."""
    return " ".join(example.tokens)


def tagged_pieces(example: TaggedTokens, pieces: Encoding, numbers: dict[str, int]) -> TaggedPieces:
    """`pieces` is of `text_of(example)`."""
    labels, places = [IGNORED] * len(pieces.ids), []
    ends = _ends(example.tokens)
    read = -1  # the example's word before
    word_before: int | None = None
    own = 0
    for place, word in enumerate(pieces.word_ids):
        if word is None or word == word_before:
            continue
        word_before = word
        start = pieces.offsets[place][0]
        while own < len(ends) - 1 and start >= ends[own]:
            own += 1
        tag = example.tags[own]
        labels[place] = numbers[tag if own != read else _going_on(tag, numbers)]
        if own != read:
            places.append(place)
        read = own
    return TaggedPieces(tuple(labels), tuple(places))


def entities(tags: Sequence[str], known: Sequence[str]) -> set[Span]:
    """Spans of words, as replicas put them together (`deployments/encoder/spans.py`).

    `known`: all tags of the model. With B- and I- these decide; else neighbours of one tag are
    a span where there is an O, and where there is none each word is its own.
    """
    if any(tag.startswith((BEGIN, INSIDE)) for tag in known):
        return spans_of([tag if tag[:2] in (BEGIN, INSIDE) else OUTSIDE for tag in tags])
    if OUTSIDE not in known:
        return {(place, place + 1, tag) for place, tag in enumerate(tags)}
    before = [OUTSIDE, *tags]
    marked = [
        OUTSIDE if tag == OUTSIDE else f"{INSIDE if tag == last else BEGIN}{tag}"
        for last, tag in zip(before, tags, strict=False)
    ]
    return spans_of(marked)


def _ends(words: Sequence[str]) -> list[int]:
    """Of the words in their text, in characters."""
    found, at = [], 0
    for word in words:
        at += len(word)
        found.append(at)
        at += 1  # the space
    return found


def _going_on(tag: str, numbers: dict[str, int]) -> str:
    inside = INSIDE + tag.removeprefix(BEGIN)
    return inside if tag.startswith(BEGIN) and inside in numbers else tag
