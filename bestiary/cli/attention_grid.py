"""Attention as a shaded grid on the screen: rows look at columns, darker is more."""

from __future__ import annotations

from bestiary_client import HEAT_LEGEND
from rich.console import Console
from rich.text import Text

STYLES = {"█": "bold yellow", "▓": "yellow", "▒": "green", "░": "blue", "·": "bright_black"}
NARROWEST = 20  # characters


def print_grid(screen: Console, title: str, heat: str) -> None:
    """`heat` is what the SDK's `heat(width=grid_width(screen))` drew."""
    grid = Text(heat)
    for mark, style in STYLES.items():
        grid.highlight_regex(rf"{mark}+", style)
    screen.print(Text(title, style="bold"))
    screen.print(grid, soft_wrap=True)
    screen.print(Text(HEAT_LEGEND, style="dim"))


def grid_width(screen: Console) -> int:
    return max(NARROWEST, screen.width)
