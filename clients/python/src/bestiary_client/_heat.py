"""A matrix of weights as plain text: each weight a shade, the same one in every grid.

Knows nothing of models; labels stand at the rows and over the columns.
"""

from __future__ import annotations

from collections.abc import Sequence

Matrix = list[list[float]]
# A weight of at least so much has this shade; those of a row sum to 1.
SHADES = ((0.7, "█"), (0.4, "▓"), (0.2, "▒"), (0.05, "░"), (0.0, "·"))
HEAT_LEGEND = "█ ≥ 0.7  ▓ ≥ 0.4  ▒ ≥ 0.2  ░ ≥ 0.05  · below"


def heat(
    rows: Sequence[str], columns: Sequence[str], weights: Matrix, width: int | None = None
) -> str:
    """One line a row, none of more than `width` characters where a row's label leaves room.

    Where the columns' labels need more they are numbered instead, and told below; where even
    the numbers do, the grid is drawn in parts, one under the other.
    """
    margin = max((len(_plain(row)) for row in rows), default=0)
    labels = [f"{_plain(row):>{margin}}" for row in rows]
    names = [_plain(column) for column in columns]
    if width is None or margin + sum(len(name) + 1 for name in names) <= width:
        return "\n".join(_part(labels, names, weights, range(len(names))))
    heads = [f"{number:>2}" for number in range(len(names))]
    lines: list[str] = []
    for part in _parts(heads, width - margin):
        lines += _part(labels, heads, weights, part)
    told = [f"{number}={name}" for number, name in enumerate(names)]
    lines += (" ".join(told[at] for at in part) for part in _parts(told, width))
    return "\n".join(lines)


def shade(weight: float) -> str:
    return next((mark for least, mark in SHADES if weight >= least), SHADES[-1][1])


def _part(
    labels: Sequence[str], heads: Sequence[str], weights: Matrix, columns: Sequence[int]
) -> list[str]:
    """The lines of some columns, below their heads."""
    margin = " " * (len(labels[0]) if labels else 0)
    lines = [" ".join((margin, *(heads[at] for at in columns)))]
    for label, row in zip(labels, weights, strict=True):
        cells = (shade(row[at]) * len(heads[at]) for at in columns)
        lines.append(" ".join((label, *cells)))
    return lines


def _parts(words: Sequence[str], width: int) -> list[range]:
    """Neighbours that fit into `width`, a space before each; at least one."""
    parts: list[range] = []
    begin, used = 0, 0
    for at, word in enumerate(words):
        if at > begin and used + len(word) + 1 > width:
            parts.append(range(begin, at))
            begin, used = at, 0
        used += len(word) + 1
    return [*parts, range(begin, len(words))]


def _plain(label: str) -> str:
    """What a terminal would take for more than a character is a question mark."""
    return "".join(one if one.isprintable() else "?" for one in label) or "?"
