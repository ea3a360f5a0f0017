"""Labels of tokens become spans of the text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from deployments.encoder.spans import spans_of
from deployments.encoder.tokenization import TokenizedInput

TEXT = "Ann Lee saw Paris"
# [CLS] Ann Le ##e saw Paris [SEP]
WORDS = (None, 0, 1, 1, 2, 3, None)
OFFSETS = ((0, 0), (0, 3), (4, 6), (6, 7), (8, 11), (12, 17), (0, 0))
IOB = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
IO = ("O", "PER", "LOC")
PARTS = ("NOUN", "VERB")


def _spans(labels: Sequence[str], chosen: Sequence[str]) -> list[tuple[str, str]]:
    """`chosen` has a label for each of the five tokens that are no special ones."""
    probabilities = np.full((7, len(labels)), 0.1, np.float32)
    for place, label in enumerate(chosen, 1):
        probabilities[place, labels.index(label)] = 0.8
    one = TokenizedInput((1, 2, 3, 4, 5, 6, 7), False, offsets=OFFSETS, words=WORDS)
    return [(span.label, span.text) for span in spans_of(TEXT, one, probabilities, labels)]


@pytest.mark.parametrize(
    ("labels", "chosen", "expected"),
    [
        (IOB, ["B-PER", "I-PER", "O", "O", "B-LOC"], [("PER", "Ann Lee"), ("LOC", "Paris")]),
        (IOB, ["B-PER", "B-PER", "O", "O", "O"], [("PER", "Ann"), ("PER", "Lee")]),
        (IOB, ["I-PER", "I-LOC", "O", "O", "O"], [("PER", "Ann"), ("LOC", "Lee")]),
        (IOB, ["O", "O", "B-LOC", "O", "O"], []),
        (IO, ["PER", "PER", "O", "O", "LOC"], [("PER", "Ann Lee"), ("LOC", "Paris")]),
        (IO, ["PER", "O", "O", "PER", "O"], [("PER", "Ann"), ("PER", "saw")]),
        (
            PARTS,
            ["NOUN", "NOUN", "VERB", "VERB", "NOUN"],
            [("NOUN", "Ann"), ("NOUN", "Lee"), ("VERB", "saw"), ("NOUN", "Paris")],
        ),
    ],
)
def test_words_are_merged_as_the_labels_ask_for(
    labels: Sequence[str], chosen: Sequence[str], expected: list[tuple[str, str]]
) -> None:
    assert _spans(labels, chosen) == expected


def test_a_span_has_the_mean_score_of_its_words() -> None:
    probabilities = np.zeros((7, 3), np.float32)
    probabilities[:, 0] = 0.5
    probabilities[1, 1], probabilities[2, 1] = 0.6, 1.0
    one = TokenizedInput((1, 2, 3, 4, 5, 6, 7), False, offsets=OFFSETS, words=WORDS)
    (span,) = spans_of(TEXT, one, probabilities, IO)
    assert span.score == pytest.approx(0.8)
    assert (span.start, span.end) == (0, 7)
