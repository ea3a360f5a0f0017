"""Labels of tokens -> spans of the text. Pure.

A word has the label of its first token, which is the one that models are trained on. Words
are then merged as the model's labels ask for: `B-` opens a span that `I-` goes on with; in
labels without these but with an `O`, neighbours of one label are one span; in labels without
either, as of parts of speech, each word is its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.schemas.encoder import TokenSpan
from deployments.encoder.tokenization import TokenizedInput

OUTSIDE = "O"
BEGIN, INSIDE = "B-", "I-"


@dataclass(slots=True)
class _Word:
    label: str
    score: float
    start: int
    end: int


@dataclass(slots=True)
class _Span:
    kind: str
    scores: list[float]
    start: int
    end: int


def spans_of(
    text: str, one: TokenizedInput, probabilities: NDArray[np.float32], labels: Sequence[str]
) -> tuple[TokenSpan, ...]:
    """`probabilities` is [tokens, labels]. Special tokens and `O` are left out."""
    opens = any(label.startswith((BEGIN, INSIDE)) for label in labels)
    joins = opens or OUTSIDE in labels
    spans: list[_Span] = []
    before = OUTSIDE  # label of the word before
    for word in _words(one, probabilities, labels):
        kind = word.label.removeprefix(BEGIN).removeprefix(INSIDE) if opens else word.label
        if word.label == OUTSIDE:
            before = OUTSIDE
            continue
        goes_on = joins and before != OUTSIDE and spans and spans[-1].kind == kind
        if goes_on and not word.label.startswith(BEGIN):
            spans[-1].scores.append(word.score)
            spans[-1].end = word.end
        else:
            spans.append(_Span(kind, [word.score], word.start, word.end))
        before = word.label
    return tuple(
        TokenSpan(
            label=span.kind,
            score=sum(span.scores) / len(span.scores),
            start=span.start,
            end=span.end,
            text=text[span.start : span.end],
        )
        for span in spans
    )


def _words(
    one: TokenizedInput, probabilities: NDArray[np.float32], labels: Sequence[str]
) -> Iterator[_Word]:
    word: _Word | None = None
    number: int | None = None
    best = probabilities.argmax(axis=-1)
    for place, (index, (start, end)) in enumerate(zip(one.words, one.offsets, strict=True)):
        if index is None:
            continue
        if word is not None and index == number:
            word.end = end
            continue
        if word is not None:
            yield word
        label = int(best[place])
        word, number = _Word(labels[label], float(probabilities[place, label]), start, end), index
    if word is not None:
        yield word
