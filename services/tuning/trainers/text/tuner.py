"""A learner, its weights and its evaluation together: what a job is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from services.tuning.trainers.text.answer_scores import answer_scores
from services.tuning.trainers.text.chat import TokenWriter
from services.tuning.trainers.text.general import general_perplexity
from services.tuning.trainers.text.lessons import Learner
from services.tuning.trainers.text.sequences import TokenSequence
from services.tuning.trainers.text.tuned_model import TunedModel
from services.tuning.trainers.tuner import Assignment
from training.loop import Trainee


class TextTuner:
    """See `services.tuning.trainers.tuner.Tuner`.

    `asked`: held-out examples whose answers the model writes itself when it is evaluated.
    """

    def __init__(
        self,
        work: Assignment,
        tuned: TunedModel,
        writer: TokenWriter,
        learner: Learner,
        asked: Sequence[TokenSequence] = (),
    ) -> None:
        self.trainee: Trainee = learner
        self.kind = tuned.kind
        self._device = work.device
        self._tuned = tuned
        self._writer = writer
        self._learner = learner
        self._asked = asked

    def tokens_in(self, batch: int) -> int:
        return self._learner.tokens_in(batch)

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
    def evaluate(self) -> Mapping[str, float]:
        self._learner.model.eval()
        found = dict(self._learner.measure_all())
        if self._asked:
            found |= answer_scores(self._tuned.language_model, self._writer, self._asked)
        return found

    def general(self) -> float:
        self._learner.model.eval()
        return float(general_perplexity(self._tuned.language_model, self._writer, self._device))

    def as_base(self) -> AbstractContextManager[None]:
        return self._tuned.as_base()

    def save(self, folder: Path) -> None:
        self._tuned.save(folder)
