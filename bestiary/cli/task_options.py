"""Options that the commands of tasks share."""

from __future__ import annotations

from typing import Annotated

import typer
from bestiary_client import TaskOptions

Model = Annotated[
    str, typer.Option(help="A card, a deployment or an alias; auto: the first that can do it.")
]
Truncate = Annotated[
    bool, typer.Option("--truncate", help="Cut texts over the model's length, and say so.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")]
Texts = Annotated[
    list[str] | None, typer.Argument(help="Texts; without any: each line that is piped in.")
]


def task_options(model: str, truncate: bool) -> TaskOptions:
    return {"model": model, "truncate": truncate or None}
