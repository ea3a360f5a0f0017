"""What a step learns from, and the same measured on held-out pictures."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from peft import PeftModel
from torch import Tensor

from services.tuning.trainers.image.examples import Batches, Learned, said_or_not
from training.noising import Guess, Noising

LEVELS = (0.1, 0.35, 0.6, 0.85)  # shares of all times, at which held-out pictures are noised
QUICK_PICTURES = 16  # of a measurement on the way
AT_ONCE = 32
MEASURED_SEED = 20_000_003


class LoraTrainee:
    """See `training.loop.Trainee`. A batch of a seed is the same in every run: its pictures, the
    captions that are left out, times and noise."""

    model: PeftModel

    def __init__(
        self,
        model: PeftModel,
        noising: Noising,
        training: Learned,
        held_out: Learned,
        batches: Batches,
        *,
        seed: int,
        device: str,
    ) -> None:
        self.model = model
        self._noising = noising
        self._training, self._held_out = training, held_out
        self._batches = batches
        self._seed, self._device = seed, device

    def loss(self, batch: int) -> Tensor:
        draw = torch.Generator().manual_seed(self._seed * 1_000_003 + batch)
        places = self._batches.at(batch)
        captions = said_or_not(self._training.captions[places], draw)
        guess = self._guess_of(self._training.states[captions])
        return self._noising.loss(self._training.latents[places].to(self._device), guess, draw)

    def measure(self) -> Mapping[str, float]:
        return {"loss": self.held_out_loss(QUICK_PICTURES)}

    def pictures_in(self, batch: int) -> int:
        return len(self._batches.at(batch))

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
    def held_out_loss(self, count: int | None = None) -> float:
        """Of the first `count` pictures, or all: each at the same levels and with the same noise
        in every call, whatever the company."""
        shown = self._held_out if count is None else self._held_out.first(count)
        draw = torch.Generator().manual_seed(MEASURED_SEED)
        total = 0.0
        for part in torch.arange(len(shown)).split(AT_ONCE):
            states = shown.states_at(part)
            clean = shown.latents[part].to(self._device)
            noise = torch.randn((len(LEVELS), *clean.shape), generator=draw)
            for level, own in zip(LEVELS, noise, strict=True):
                times = torch.full((len(part),), int(level * self._noising.steps))
                losses = self._noising.losses(clean, self._guess_of(states), times, own)
                total += float(losses.sum())
        return total / (len(shown) * len(LEVELS))

    def _guess_of(self, states: Tensor) -> Guess:
        on_device = states.to(self._device)

        def guess(noised: Tensor, times: Tensor) -> Tensor:
            predicted: Tensor = self.model(noised, times, on_device).sample
            return predicted

        return guess
