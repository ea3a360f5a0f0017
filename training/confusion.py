"""How often each class was taken for which: accuracy, precision, recall and F1 of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Confusion:
    """`counts[true][guessed]`. A share of nothing is 0."""

    counts: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, labels: Sequence[int], guesses: Sequence[int], classes: int) -> Confusion:
        counts = [[0] * classes for _ in range(classes)]
        for label, guess in zip(labels, guesses, strict=True):
            counts[label][guess] += 1
        return cls(tuple(map(tuple, counts)))

    @property
    def accuracy(self) -> float:
        hits = sum(row[place] for place, row in enumerate(self.counts))
        return hits / max(1, sum(map(sum, self.counts)))

    def precision(self, label: int) -> float:
        return self.counts[label][label] / max(1, sum(row[label] for row in self.counts))

    def recall(self, label: int) -> float:
        return self.counts[label][label] / max(1, self.support(label))

    def f1(self, label: int) -> float:
        precision, recall = self.precision(label), self.recall(label)
        return 2 * precision * recall / max(1e-9, precision + recall)

    @property
    def macro_f1(self) -> float:
        """The mean over the classes that occur, or were guessed."""
        met = [one for one in range(len(self.counts)) if self.support(one) or self._guessed(one)]
        return sum(map(self.f1, met)) / max(1, len(met))

    def support(self, label: int) -> int:
        """Examples that are of the class."""
        return sum(self.counts[label])

    def _guessed(self, label: int) -> int:
        return sum(row[label] for row in self.counts)
