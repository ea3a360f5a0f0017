"""Captioned pictures as a UNet is trained on them, and which of them make which batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bestiary.errors import InvalidRequest
from services.tuning.data.examples import CaptionedImage, Example
from services.tuning.trainers.image.latents import LatentCache
from services.tuning.trainers.image.prompts import PromptReader
from training.batch_order import BatchOrder

NOTHING = ""
UNSAID = 0.1  # share of empty prompts: without them guidance forgets what it goes away from


@dataclass(frozen=True)
class Learned:
    """Latents [N, C, h, w], and of each the place of its caption in `states` [M, tokens, width].

    The first of the states is that of the empty prompt.
    """

    latents: Tensor
    captions: Tensor  # int64 [N]
    states: Tensor

    def __len__(self) -> int:
        return len(self.latents)

    def states_at(self, places: Tensor) -> Tensor:
        return self.states[self.captions[places]]

    def first(self, count: int) -> Learned:
        return Learned(self.latents[:count], self.captions[:count], self.states)


def learned(examples: Sequence[Example], latents: LatentCache, reader: PromptReader) -> Learned:
    """Raises InvalidRequest for examples that are no captioned pictures, or none at all."""
    pictures = [one for one in examples if isinstance(one, CaptionedImage)]
    if len(pictures) < len(examples) or not pictures:
        raise InvalidRequest(
            "a text-to-image model learns from captioned pictures: send a zip of them",
            "training_file",
        )
    texts = [NOTHING, *sorted({one.caption for one in pictures} - {NOTHING})]
    places = {text: place for place, text in enumerate(texts)}
    captions = torch.tensor([places[one.caption] for one in pictures])
    return Learned(latents.of(pictures), captions, reader.states(texts).cpu())


class Batches:
    """Each picture once an epoch, in an order that the seed decides."""

    def __init__(self, count: int, size: int, seed: int) -> None:
        self._order = BatchOrder([1] * count, size, seed)

    def at(self, batch: int) -> Tensor:
        """Places of its pictures, int64."""
        return torch.tensor(self._order.at(batch))


def said_or_not(captions: Tensor, draw: torch.Generator) -> Tensor:
    """Some of the captions are left out: the place of the empty prompt stands for them."""
    unsaid = torch.rand(len(captions), generator=draw) < UNSAID
    return captions.masked_fill(unsaid, 0)
