"""A moving average of a model's weights: what diffusion models and generators are served with.

Polyak averaging with a warm-up of the decay, so that the first steps are forgotten soon.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """Of the parameters that are learned. A decay of 0 keeps nothing and changes nothing."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        learned = [(name, one) for name, one in model.named_parameters() if one.requires_grad]
        self._learned = dict(learned) if decay else {}
        self._decay = decay
        self.weights = {name: one.detach().clone() for name, one in self._learned.items()}

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
    def update(self, step: int) -> None:
        """After a step, counted from 0: decay min(D, (1 + step) / (10 + step))."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, one in self._learned.items():
            self.weights[name].lerp_(one.detach(), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the averaged weights inside the block, its own again afterwards."""
        own = {name: one.detach().clone() for name, one in self._learned.items()}
        self._fill(self.weights)
        try:
            yield
        finally:
            self._fill(own)

    def take_over(self) -> None:
        """The model gets the averaged weights for good."""
        self._fill(self.weights)

    @torch.no_grad()  # type: ignore[untyped-decorator]  # as above
    def _fill(self, weights: dict[str, Tensor]) -> None:
        for name, one in self._learned.items():
            one.copy_(weights[name])
