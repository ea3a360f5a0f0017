"""What a method brings for a job: a trainee, its evaluation, and how it is saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bestiary.garden import InstalledModel
from bestiary.schemas.tuning import JobSpec, PublishedKind, TrainingPlan
from services.tuning.data.examples import Example
from training.loop import Trainee


def nobody(message: str) -> None:
    """Is told nothing."""


@dataclass(frozen=True)
class Assignment:
    """One job, as a trainer gets it."""

    spec: JobSpec
    plan: TrainingPlan
    model: InstalledModel  # the base
    teacher: InstalledModel | None  # of a distillation
    training: Sequence[Example]
    held_out: Sequence[Example]
    folder: Path  # the job's own, for what it computes once (a teacher's answers)
    threads: int
    device: str = "cpu"  # torch's word
    # By card id: what the base needs beside its own folder (an image model's reader of prompts).
    beside: Mapping[str, InstalledModel] = field(default_factory=dict)
    # How long work before the training goes; raises Superseded where the job is to stop.
    tell: Callable[[str], None] = nobody


class Tuner(Protocol):
    """Opened once for a job, on the base model's weights."""

    trainee: Trainee  # its `loss` reads a micro batch, a function of seed and number
    kind: PublishedKind

    def tokens_in(self, batch: int) -> int:
        """Tokens of a micro batch that are learned from."""
        ...

    def evaluate(self) -> Mapping[str, float]:
        """The model as it is now on the held-out examples: `loss` and the method's own metrics."""
        ...

    def general(self) -> float | None:
        """Perplexity on general text, so that forgetting shows; None: not a text model."""
        ...

    def as_base(self) -> AbstractContextManager[None]:
        """Inside, the model is the base again (adapters off, or its first weights)."""
        ...

    def save(self, folder: Path) -> None:
        """What is published: an adapter as peft saves it, or a folder that the garden can add."""
        ...


OpenTuner = Callable[[Assignment], Tuner]
