"""Labelled spans, coloured where they stand in their text. One label has one colour."""

from __future__ import annotations

from collections.abc import Sequence

from bestiary_client import Span
from rich.table import Table
from rich.text import Text

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")


def coloured(text: str, spans: Sequence[Span]) -> Text:
    """The text as it is; what a terminal without colours loses, `span_table` tells."""
    shown = Text(text)
    colours = _colours(spans)
    for span in spans:
        shown.stylize(f"bold {colours[span.label]}", span.start, span.end)
    return shown


def span_table(spans: Sequence[Span]) -> Table:
    """One row a span, in the order of the text."""
    table = Table("label", "text", "characters", "score", box=None)
    colours = _colours(spans)
    for span in spans:
        label = Text(span.label, style=colours[span.label])
        place = f"{span.start}-{span.end}"
        table.add_row(label, Text(repr(span.text)), place, f"{span.score:.3f}")
    return table


def _colours(spans: Sequence[Span]) -> dict[str, str]:
    labels = sorted({span.label for span in spans})
    return {label: COLOURS[number % len(COLOURS)] for number, label in enumerate(labels)}
