"""One recipe as a command: train, or take up a training again, and export what there is.

    python -m zoo.recipes.NAME [--out DIR] [--steps N] [--resume] [--export]

Knows neither data nor networks; those come with the recipe.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from rich.console import Console

from training.loop import Plan, State, Trainee, load, train
from zoo.card_files import pin_files
from zoo.data.packages import cache_folder

ZOO = Path(__file__).parent


class Exportable(Trainee, Protocol):
    def export(self, folder: Path, state: State) -> None:
        """Writes the whole artefact, page and figures too, into an existing folder."""
        ...


@dataclass(frozen=True)
class Recipe:
    """`prepare` gets the data and makes the untrained model; its argument is the plan's seed."""

    model: str  # the folder under `zoo`
    plan: Plan
    prepare: Callable[[int], Exportable]

    @property
    def run_folder(self) -> Path:
        """Checkpoints. Not the artefact."""
        return cache_folder() / "runs" / self.model


def run(recipe: Recipe) -> None:
    """The command line of a recipe."""
    parser = argparse.ArgumentParser(description=f"Trains {recipe.model}.")
    parser.add_argument("--out", type=Path, default=ZOO / recipe.model, help="the artefact")
    parser.add_argument("--steps", type=int, help="as many in all, not the plan's")
    parser.add_argument("--resume", action="store_true", help="take up the last checkpoint")
    parser.add_argument("--export", action="store_true", help="export the last checkpoint only")
    given = parser.parse_args()
    console = Console()
    trainee = recipe.prepare(recipe.plan.seed)
    if given.export:
        state = load(trainee.model, recipe.run_folder)
    else:
        plan = replace(recipe.plan, steps=given.steps or recipe.plan.steps)
        state = train(trainee, plan, recipe.run_folder, resume=given.resume)
    trainee.model.eval()
    given.out.mkdir(parents=True, exist_ok=True)
    trainee.export(given.out, state)
    if given.out == ZOO / recipe.model:
        pin_files(recipe.model, given.out)
    console.print(f"{recipe.model}: {state.step} steps, exported to {given.out}", soft_wrap=True)
