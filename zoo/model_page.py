"""The page beside every exported model: figures that a script measured, and where all comes from.

`figures.json` holds the same numbers for programs. Knows no model and no measure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from training.curves import draw, write_csv
from training.loop import State
from zoo.data.packages import Package


@dataclass(frozen=True)
class Table:
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str | float | int, ...], ...]
    digits: int = 3  # of numbers with a fraction

    def markdown(self) -> str:
        lines = [self.header, ("---",) * len(self.header), *map(self._cells, self.rows)]
        return f"{self.caption}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def _cells(self, row: Sequence[str | float | int]) -> tuple[str, ...]:
        return tuple(f"{x:.{self.digits}f}" if isinstance(x, float) else str(x) for x in row)


@dataclass(frozen=True)
class Shown:
    """A picture file of the artefact."""

    file: str
    caption: str


@dataclass(frozen=True)
class Page:
    model: str
    title: str
    summary: str  # what it is for, and what it is not
    license: str
    packages: tuple[Package, ...]
    other_sources: tuple[str, ...]  # a line each
    held_out: str  # how what was measured was kept apart
    tables: tuple[Table, ...]
    parameters: int  # that are in the artefact
    planned_steps: int
    seed: int
    shown: tuple[Shown, ...] = ()
    headline: Mapping[str, float] = field(default_factory=dict)  # what the card says of it


def write_page(page: Page, state: State, folder: Path) -> None:
    """`README.md`, `figures.json`, `metrics.csv` and `loss.png` into `folder`."""
    (folder / "README.md").write_text(_markdown(page, state), "utf-8")
    figures = {
        "model": page.model,
        "seed": page.seed,
        "steps": state.step,
        "planned_steps": page.planned_steps,
        "cpu_minutes": round(state.cpu_s / 60, 1),
        "parameters": page.parameters,
        "tables": [asdict(table) for table in page.tables],
    }
    if page.headline:
        figures["headline"] = {name: round(value, 4) for name, value in page.headline.items()}
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    write_csv(state.history, folder / "metrics.csv")
    draw(state.history, page.title, folder / "loss.png")


def rows_of(
    figures: Mapping[str, Sequence[float | int]],
) -> tuple[tuple[str | float | int, ...], ...]:
    """A mapping's items as rows."""
    return tuple((name, *values) for name, values in figures.items())


def _markdown(page: Page, state: State) -> str:
    module = page.model.replace("-", "_")
    sources = [
        f"- {one.title}: {one.license}; {one.attribution} (sha256 `{one.sha256}`)"
        for one in page.packages
    ]
    sources += [f"- {line}" for line in page.other_sources]
    shown = [line for one in page.shown for line in (f"![{one.caption}]({one.file})", "")]
    done = "" if state.step >= page.planned_steps else f" of the {page.planned_steps} planned"
    return "\n".join(
        (
            f"# {page.title}",
            "",
            page.summary,
            "",
            *shown,
            "## Held-out figures",
            "",
            page.held_out,
            "",
            "\n\n".join(table.markdown() for table in page.tables),
            "",
            "## Training",
            "",
            f"`bestiary zoo train {page.model}` (`python -m zoo.recipes.{module}`), seed"
            f" {page.seed}: {state.step} steps{done}, {state.cpu_s / 60:.1f} CPU minutes on one"
            f" thread. {page.parameters:,} parameters in this folder, stored in fp16; the figures"
            " are those of the stored weights.",
            "",
            "![Loss](loss.png)",
            "",
            "## Data",
            "",
            *sources,
            "",
            "## Licence",
            "",
            page.license,
            "",
        )
    )
