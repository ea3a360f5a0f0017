"""Classifier-free guidance of one picture: which rows a step needs, and what they become.

arXiv:2207.12598. Two ways to pay less than two rows a step: guide only the first `share` of the
steps (arXiv:2404.07724), or compute the unguided prediction afresh at every `every`-th step only
and keep the difference between. Knows no text and no network.
"""

from __future__ import annotations

from dataclasses import dataclass

from deployments.image.pixels import Floats

UNGUIDED = 1.0


@dataclass(frozen=True, slots=True)
class GuidanceOptions:
    scale: float = UNGUIDED
    share: float = 1.0
    every: int = 1


class Guidance:
    """Of a picture with `steps` steps."""

    def __init__(self, options: GuidanceOptions, steps: int) -> None:
        self._options = options
        self._until = round(options.share * steps) if options.scale != UNGUIDED else 0
        self._difference: Floats | None = None

    def guides(self, step: int) -> bool:
        return step < self._until

    def wants_both(self, step: int) -> bool:
        """Whether the step needs the unguided prediction too."""
        if not self.guides(step):
            return False
        return self._difference is None or step % self._options.every == 0

    def guided(self, step: int, own: Floats, plain: Floats | None) -> Floats:
        """`own` is the prediction with the prompt, `plain` the one without, if it was wanted."""
        if not self.guides(step):
            return own
        if plain is not None:
            self._difference = own - plain
        assert self._difference is not None  # the first guided step wants both
        pushed: Floats = own + (self._options.scale - 1) * self._difference
        return pushed
