"""`bestiary zoo`: the small models that this project trained, and training them again.

Recipes need torch, which this package may not import: each runs as a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bestiary.cli.context import Context
from bestiary.cli.screen import console
from bestiary.errors import NotFound
from bestiary.garden.garden import REPOSITORY_ZOO

app = typer.Typer(
    help="The zoo: small models and the recipes that made them.", no_args_is_help=True
)


@app.command("list")
def list_zoo(context: typer.Context) -> None:
    """Show every recipe, what it has trained, and the card that serves it."""
    ctx: Context = context.obj
    cards = {source.url: card.id for card in ctx.garden.cards() for source in card.sources}
    table = Table("model", "parameters", "steps", "CPU minutes", "MB", "card", box=None)
    for model in recipes():
        figures = _figures(REPOSITORY_ZOO / model)
        table.add_row(
            model,
            *(_shown(figures.get(name)) for name in ("parameters", "steps", "cpu_minutes")),
            _megabytes(REPOSITORY_ZOO / model),
            cards.get(f"zoo://{model}", "none"),
        )
    console.print(table)


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="A model of `bestiary zoo list`.")],
    out: Annotated[
        Path | None, typer.Option(help="Where the artefact goes. [default: zoo/NAME]")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="As many steps in all, not the recipe's.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Take up the last checkpoint.")] = False,
    export: Annotated[
        bool, typer.Option("--export", help="Export the last checkpoint, train nothing.")
    ] = False,
) -> None:
    """Train a model of the zoo by its recipe, and export it with its held-out figures.

    Data comes out of registry packages, checked and cached.
    """
    known = recipes()
    if name not in known:
        raise NotFound(f"no recipe {name!r}; there are: {', '.join(known)}")
    options = ["--resume"] if resume else []
    options += ["--export"] if export else []
    options += ["--steps", str(steps)] if steps is not None else []
    options += ["--out", str(out.resolve())] if out is not None else []
    command = [sys.executable, "-m", f"zoo.recipes.{name.replace('-', '_')}", *options]
    # `zoo` is the checkout's: never one that another folder happens to have.
    done = subprocess.run(command, cwd=REPOSITORY_ZOO.parent, check=False)  # noqa: S603
    if done.returncode != 0:
        raise typer.Exit(done.returncode)


def recipes() -> tuple[str, ...]:
    """The models that have a recipe, by name."""
    found = (REPOSITORY_ZOO / "recipes").glob("[!_]*.py")
    return tuple(sorted(path.stem.replace("_", "-") for path in found))


def _figures(folder: Path) -> dict[str, object]:
    path = folder / "figures.json"
    if not path.is_file():
        return {}
    read: dict[str, object] = json.loads(path.read_text("utf-8"))
    return read


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else "not trained"


def _megabytes(folder: Path) -> str:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{size / 1e6:.1f}"
