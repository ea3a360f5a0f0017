"""Learns from token sequences; `objective` is what each learned token costs. Knows no text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from services.tuning.trainers.micro_batches import chunks
from services.tuning.trainers.text.lessons import QUICK, Lessons
from services.tuning.trainers.text.losses import (
    cross_entropy,
    logits_at,
    means_of_sequences,
    perplexity_of,
)
from services.tuning.trainers.text.rows import Rows
from services.tuning.trainers.text.sequences import TokenSequence
from services.tuning.trainers.text.tuned_model import TunedModel

Objective = Callable[[Tensor, Rows], Tensor]  # logits [P, vocabulary] -> losses [P]


class TokenLearner:
    """Predicts the learned tokens."""

    def __init__(
        self,
        tuned: TunedModel,
        lessons: Lessons[TokenSequence],
        objective: Objective = cross_entropy,
    ) -> None:
        self.model = tuned.trained
        self._tuned = tuned
        self._lessons = lessons
        self._order = lessons.order()
        self._objective = objective

    def loss(self, step: int) -> Tensor:
        rows = self._lessons.rows(self._batch(step))
        logits = logits_at(self._tuned.language_model, rows)
        return means_of_sequences(self._objective(logits, rows), rows).mean()

    def tokens_in(self, batch: int) -> int:
        return sum(one.learned_tokens for one in self._batch(batch))

    def measure(self) -> Mapping[str, float]:
        return self._measured(self._lessons.held_out[:QUICK])

    def measure_all(self) -> Mapping[str, float]:
        return self._measured(self._lessons.held_out)

    def _batch(self, number: int) -> list[TokenSequence]:
        return [self._lessons.training[place] for place in self._order.batch(number)]

    def _measured(self, held_out: Sequence[TokenSequence]) -> Mapping[str, float]:
        """`loss` is the objective and counts each sequence alike, as in training; perplexity
        and accuracy count each token."""
        model, size = self._tuned.language_model, self._lessons.plan.micro_batch_size
        loss = surprise = 0.0
        right = tokens = 0
        for part in chunks(held_out, size):
            rows = self._lessons.rows(part)
            logits = logits_at(model, rows)
            loss += float(means_of_sequences(self._objective(logits, rows), rows).sum())
            surprise += float(cross_entropy(logits, rows).sum())
            right += int((logits.argmax(-1) == rows.labels).sum())
            tokens += len(rows.labels)
        return {
            "loss": loss / len(held_out),
            "perplexity": perplexity_of(surprise, tokens),
            "token_accuracy": right / tokens,
        }
