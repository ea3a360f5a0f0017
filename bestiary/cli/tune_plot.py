"""Curves in a terminal: dots of Braille, 2 by 4 in each character. Pure, but for colours.

https://en.wikipedia.org/wiki/Braille_Patterns: a character is U+2800 and one bit for each dot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.text import Text

_BLANK = 0x2800
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # [row][column], from the top
_DOTS_ACROSS, _DOTS_DOWN = 2, 4
_LABEL = 8  # characters left of the picture
BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Line:
    """`points`: (step, value), by step."""

    points: Sequence[tuple[float, float]]
    style: str
    joined: bool = True  # False: every point by itself


def plot(lines: Sequence[Line], *, columns: int, rows: int, last_step: float) -> list[Text]:
    """The picture, row by row; nothing where there is nothing to draw. Later lines lie above."""
    drawn = [Line(_finite(line.points), line.style, line.joined) for line in lines]
    values = [value for line in drawn for _, value in line.points]
    if not values:
        return []
    low, high = min(values), max(values)
    canvas = _Canvas(columns, rows)
    for line in drawn:
        places = [
            (
                round(step / max(last_step, 1) * (columns * _DOTS_ACROSS - 1)),
                round(_share(value, low, high) * (rows * _DOTS_DOWN - 1)),
            )
            for step, value in line.points
        ]
        canvas.draw(places, line.style, line.joined)
    labels = {0: f"{high:.4g}", rows - 1: f"{low:.4g}"}
    return [
        Text(f"{labels.get(row, ''):>{_LABEL}} ", style="dim").append_text(canvas.row(row))
        for row in range(rows)
    ]


def sparkline(values: Sequence[float], width: int) -> str:
    """Means of equal parts of the values, as blocks of eight heights."""
    kept = [value for value in values if math.isfinite(value)]
    if not kept:
        return ""
    count = min(width, len(kept))
    bounds = [round(place * len(kept) / count) for place in range(count + 1)]
    parts = [kept[first:last] for first, last in pairwise(bounds)]
    means = [sum(part) / len(part) for part in parts]
    low, high = min(means), max(means)
    top = len(BLOCKS) - 1
    return "".join(BLOCKS[top - round(_share(mean, low, high) * top)] for mean in means)


class _Canvas:
    def __init__(self, columns: int, rows: int) -> None:
        self._bits = [[0] * columns for _ in range(rows)]
        self._styles = [[""] * columns for _ in range(rows)]

    def draw(self, places: Sequence[tuple[int, int]], style: str, joined: bool) -> None:
        """Dots from the left and from the top."""
        for place in places:
            self._dot(*place, style)
        if joined:
            for first, last in pairwise(places):
                for place in _between(first, last):
                    self._dot(*place, style)

    def row(self, row: int) -> Text:
        text = Text()
        for bits, style in zip(self._bits[row], self._styles[row], strict=True):
            text.append(chr(_BLANK + bits) if bits else " ", style=style)
        return text

    def _dot(self, across: int, down: int, style: str) -> None:
        column, row = across // _DOTS_ACROSS, down // _DOTS_DOWN
        if 0 <= column < len(self._bits[0]):
            self._bits[row][column] |= _BITS[down % _DOTS_DOWN][across % _DOTS_ACROSS]
            self._styles[row][column] = style


def _between(first: tuple[int, int], last: tuple[int, int]) -> list[tuple[int, int]]:
    (across, down), (to_across, to_down) = first, last
    count = max(abs(to_across - across), abs(to_down - down))
    return [
        (
            round(across + (to_across - across) * place / count),
            round(down + (to_down - down) * place / count),
        )
        for place in range(1, count)
    ]


def _share(value: float, low: float, high: float) -> float:
    """From the top: 0 for the highest value."""
    return (high - value) / (high - low) if high > low else 0.5


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(step, value) for step, value in points if math.isfinite(value)]
