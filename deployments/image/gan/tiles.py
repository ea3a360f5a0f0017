"""A picture in pieces of one shape, so that a large one neither fills the memory nor runs for long.

Each piece has a margin of its neighbours around what is kept of it, and lies inside the picture:
what a network sees of a kept pixel's surroundings is what it would see in the whole picture, as far
as the margin reaches. Knows no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deployments.image.pixels import Floats

CORE = 64  # pixels of a side that are kept of a piece


@dataclass(frozen=True, slots=True)
class Span:
    """Along one side: a piece begins at `start`; of the picture, `kept` to `until` are its own."""

    start: int
    kept: int
    until: int


@dataclass(frozen=True, slots=True)
class Tiles:
    """Of a picture [channels, height, width]."""

    low: Floats
    margin: int

    @property
    def spans(self) -> list[tuple[Span, Span]]:
        """Down and across, row by row."""
        down, across = (spans(side, self.margin) for side in self.low.shape[1:])
        return [(one, other) for one in down for other in across]

    def pieces(self) -> list[Floats]:
        high, wide = (min(side, CORE + 2 * self.margin) for side in self.low.shape[1:])
        return [
            self.low[:, down.start : down.start + high, across.start : across.start + wide]
            for down, across in self.spans
        ]

    def joined(self, made: Sequence[Floats], factor: int) -> Floats:
        """Of what became of the pieces, each `factor` times as large."""
        channels = made[0].shape[0]
        height, width = (side * factor for side in self.low.shape[1:])
        whole = np.empty((channels, height, width), np.float32)
        for piece, (down, across) in zip(made, self.spans, strict=True):
            whole[:, _of(down, factor), _of(across, factor)] = piece[
                :, _inside(down, factor), _inside(across, factor)
            ]
        return whole


def spans(side: int, margin: int) -> list[Span]:
    length = min(side, CORE + 2 * margin)
    return [
        Span(min(max(0, kept - margin), side - length), kept, min(kept + CORE, side))
        for kept in range(0, side, CORE)
    ]


def _of(span: Span, factor: int) -> slice:
    return slice(span.kept * factor, span.until * factor)


def _inside(span: Span, factor: int) -> slice:
    return slice((span.kept - span.start) * factor, (span.until - span.start) * factor)
