"""A text-to-image model in tuning. See `services.tuning.trainers.tuner.Tuner`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from bestiary.schemas.tuning import PublishedKind
from services.tuning.trainers.image.base_pipeline import BasePipeline
from services.tuning.trainers.image.examples import Learned
from services.tuning.trainers.image.saving import save_tuned
from services.tuning.trainers.image.style import is_cheap, style_likeness
from services.tuning.trainers.image.trainee import LoraTrainee
from training.loop import Trainee

PIXELS_PER_TOKEN = 1024


class TextToImageTuner:
    trainee: Trainee
    kind: PublishedKind

    def __init__(
        self, trainee: LoraTrainee, base: BasePipeline, folder: Path, held_out: Learned
    ) -> None:
        self.trainee = self._trainee = trainee
        self.kind = PublishedKind.MODEL
        self._base = base
        self._folder = folder  # of the base
        self._held_out = held_out

    def tokens_in(self, batch: int) -> int:
        pixels = self._base.width * self._base.height
        return self._trainee.pictures_in(batch) * pixels // PIXELS_PER_TOKEN

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
    def evaluate(self) -> Mapping[str, float]:
        """`loss`, and where it costs seconds only `style_likeness`, of which more is better."""
        model = self._trainee.model.eval()
        found = {"loss": self._trainee.held_out_loss()}
        if is_cheap(self._base):
            found["style_likeness"] = style_likeness(model, self._base, self._held_out)
        return found

    def general(self) -> float | None:
        return None

    @contextmanager
    def as_base(self) -> Iterator[None]:
        with self._trainee.model.disable_adapter():
            yield

    def save(self, folder: Path) -> None:
        """A whole pipeline for `Garden.add`, and `adapter/` beside it."""
        save_tuned(self._trainee.model, self._folder, folder)
