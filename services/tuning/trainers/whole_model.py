"""A tuner of models that are published with all their weights, whatever the method learns.

Knows the way back to the base: the first values of what is learned are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from bestiary.errors import InvalidRequest
from bestiary.schemas.tuning import PublishedKind
from services.tuning.trainers.low_rank import merged
from services.tuning.trainers.tuner import Assignment
from training.loop import Trainee

Write = Callable[[nn.Module, Path], None]


class Learner(Trainee, Protocol):
    """What a method brings beside its loss."""

    def tokens_in(self, batch: int) -> int:
        """Of a micro batch, padding apart."""
        ...

    def evaluate(self) -> Mapping[str, float]:
        """On all held-out examples, `loss` among the figures. Called in evaluation mode."""
        ...


class WholeModelTuner:
    """See `services.tuning.trainers.tuner.Tuner`. `write` saves a model that peft has left."""

    kind = PublishedKind.MODEL

    def __init__(self, learner: Learner, write: Write) -> None:
        self.trainee: Trainee = learner
        self._learner = learner
        self._write = write
        self._first = {name: one.detach().clone() for name, one in self._learned().items()}

    def tokens_in(self, batch: int) -> int:
        return self._learner.tokens_in(batch)

    def evaluate(self) -> Mapping[str, float]:
        self._learner.model.eval()
        with torch.no_grad():
            return self._learner.evaluate()

    def general(self) -> None:
        return None

    @contextmanager
    def as_base(self) -> Iterator[None]:
        """A head that the base does not have is then as it was drawn."""
        last = {name: one.detach().clone() for name, one in self._learned().items()}
        self._put(self._first)
        try:
            yield
        finally:
            self._put(last)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._write(merged(self._learner.model), folder)

    def _learned(self) -> dict[str, nn.Parameter]:
        named = self._learner.model.named_parameters()
        return {name: one for name, one in named if one.requires_grad}

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, one in self._learned().items():
            one.copy_(values[name])


def require_examples(work: Assignment) -> None:
    """Raises InvalidRequest where there is nothing to learn from, or nothing to measure on."""
    if not work.training:
        raise InvalidRequest("the training file has no examples", "training_file")
    if not work.held_out:
        raise InvalidRequest(
            "no examples are held out; give a validation file or more examples",
            "validation_file",
        )
