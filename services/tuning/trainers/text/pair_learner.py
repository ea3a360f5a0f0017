"""Learns from pairs of answers: direct preference optimisation, arXiv:2305.18290."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from services.tuning.trainers.micro_batches import chunks
from services.tuning.trainers.text.lessons import QUICK, Lessons
from services.tuning.trainers.text.losses import cross_entropy, logits_at, sums_of_sequences
from services.tuning.trainers.text.rows import Rows
from services.tuning.trainers.text.sequences import SequencePair, TokenSequence
from services.tuning.trainers.text.tuned_model import TunedModel


class PairLearner:
    """Prefers the chosen answer more than the base does.

    The reference is the base, which is the same model without its adapter.
    """

    def __init__(self, tuned: TunedModel, lessons: Lessons[SequencePair]) -> None:
        self.model = tuned.trained
        self._tuned = tuned
        self._lessons = lessons
        self._order = lessons.order()

    def loss(self, step: int) -> Tensor:
        return functional.softplus(-self._margins(self._batch(step))).mean()

    def tokens_in(self, batch: int) -> int:
        return sum(
            pair.chosen.learned_tokens + pair.rejected.learned_tokens for pair in self._batch(batch)
        )

    def measure(self) -> Mapping[str, float]:
        return self._measured(self._lessons.held_out[:QUICK])

    def measure_all(self) -> Mapping[str, float]:
        return self._measured(self._lessons.held_out)

    def _batch(self, number: int) -> list[SequencePair]:
        return [self._lessons.training[place] for place in self._order.batch(number)]

    def _measured(self, held_out: Sequence[SequencePair]) -> Mapping[str, float]:
        """`preference_accuracy`: how often the chosen answer gained on the rejected one, a tie
        being half of it. The base gains nothing: its margins are 0, its accuracy is a half."""
        size = self._lessons.plan.micro_batch_size
        margins = torch.cat([self._margins(part) for part in chunks(held_out, size)])
        return {
            "loss": float(functional.softplus(-margins).mean()),
            "reward_margin": float(margins.mean()),
            "preference_accuracy": float((margins.sign() + 1).mean()) / 2,
        }

    def _margins(self, pairs: Sequence[SequencePair]) -> Tensor:
        """[pairs]: how much more the chosen answer gained over the base than the rejected one."""
        rows = self._lessons.rows(list(_answers(pairs)))
        model = self._tuned.language_model
        with torch.no_grad(), _evaluating(self.model), self._tuned.as_base():
            reference = _log_likelihoods(model, rows)
        gains = (_log_likelihoods(model, rows) - reference) * self._lessons.hyperparameters.beta
        chosen, rejected = gains.view(-1, 2).unbind(1)
        return chosen - rejected


def _answers(pairs: Iterable[SequencePair]) -> Iterator[TokenSequence]:
    for pair in pairs:
        yield pair.chosen
        yield pair.rejected


def _log_likelihoods(model: PreTrainedModel, rows: Rows) -> Tensor:
    """[sequences], of whole answers."""
    return -sums_of_sequences(cross_entropy(logits_at(model, rows), rows), rows)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout; afterwards as it was."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
