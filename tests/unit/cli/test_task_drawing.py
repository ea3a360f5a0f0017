"""What the screen adds to spans and attention: colours, and nothing lost without them."""

from __future__ import annotations

import io

from bestiary_client import Span
from rich.console import Console

from bestiary.cli.attention_grid import NARROWEST, grid_width, print_grid
from bestiary.cli.spans_in_text import coloured, span_table

CLASS = Span("class", 0.9, 8, 13, "Query")
CALL = Span("call", 0.5, 0, 7, "[get]()")
TEXT = "[get]() Query"


def screen(width: int = 80) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=width)


def printed(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue()


def test_spans_are_coloured_where_they_stand() -> None:
    shown = coloured(TEXT, [CALL, CLASS])
    assert shown.plain == TEXT
    assert [(one.start, one.end) for one in shown.spans] == [(0, 7), (8, 13)]
    assert shown.spans[0].style != shown.spans[1].style


def test_a_label_has_one_colour_in_text_and_table() -> None:
    on = screen()
    on.print(coloured(TEXT, [CALL, CLASS]))
    on.print(span_table([CALL, CLASS]))
    assert printed(on).count("\x1b[1;36m[get]()") == 1
    assert "\x1b[36mcall" in printed(on)


def test_more_labels_than_colours_start_again() -> None:
    spans = [Span(f"l{n}", 1.0, n, n + 1, "x") for n in range(9)]
    assert len(coloured("x" * 9, spans).spans) == 9


def test_each_shade_has_its_colour_and_the_grid_its_legend() -> None:
    on = screen()
    print_grid(on, "layer 0", "  a b\na █ ·")
    assert "\x1b[1;33m█\x1b[0m" in printed(on)
    assert "\x1b[90m·\x1b[0m" in printed(on)
    assert "≥ 0.7" in printed(on)


def test_a_grid_is_as_wide_as_the_screen() -> None:
    assert grid_width(screen(60)) == 60
    assert grid_width(screen(3)) == NARROWEST
