"""What a learner has: its examples, in which order they come, how they are laid out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from torch import Tensor, nn

from bestiary.schemas.tuning import Hyperparameters, TrainingPlan
from services.tuning.trainers.text.order import ExampleOrder
from services.tuning.trainers.text.rows import Rows, rows_of
from services.tuning.trainers.text.sequences import SequencePair, TokenSequence
from services.tuning.trainers.tuner import Assignment

QUICK = 64  # held-out examples that are measured on the way

T = TypeVar("T", TokenSequence, SequencePair)


@dataclass(frozen=True)
class Lessons(Generic[T]):
    """What is learned from, what is measured on, and how it is laid out."""

    training: tuple[T, ...]
    held_out: tuple[T, ...]
    plan: TrainingPlan
    hyperparameters: Hyperparameters
    seed: int
    device: str

    @classmethod
    def of(cls, work: Assignment, training: tuple[T, ...], held_out: tuple[T, ...]) -> Lessons[T]:
        spec = work.spec
        return cls(training, held_out, work.plan, spec.hyperparameters, spec.seed, work.device)

    def order(self) -> ExampleOrder:
        """Of the training examples."""
        return ExampleOrder(len(self.training), self.plan.micro_batch_size, self.seed)

    def rows(self, sequences: Sequence[TokenSequence]) -> Rows:
        packing = self.hyperparameters.packing
        return rows_of(sequences, self.plan.max_tokens, packing=packing, device=self.device)


class Learner(Protocol):
    """A `training.loop.Trainee` that also says how much is in a batch, and how good it is."""

    model: nn.Module

    def loss(self, step: int) -> Tensor: ...

    def measure(self) -> Mapping[str, float]:
        """On the first held-out examples."""
        ...

    def measure_all(self) -> Mapping[str, float]:
        """On all of them."""
        ...

    def tokens_in(self, batch: int) -> int: ...
