"""`bestiary explain`: what BERT adds up of each token, and where its heads look."""

from __future__ import annotations

from typing import Annotated

import typer
from bestiary_client import Explanation
from rich.table import Table
from rich.text import Text

from bestiary.cli.attention_grid import grid_width, print_grid
from bestiary.cli.connected import connected
from bestiary.cli.screen import console, errors
from bestiary.cli.task_options import AsJson, Model, Truncate, task_options
from bestiary.cli.task_output import print_json, warn_of_cuts
from bestiary.errors import InvalidRequest


def explain(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="At most 128 tokens.")],
    pair: Annotated[str | None, typer.Option(help="A second text: its segment is 1.")] = None,
    layer: Annotated[
        int | None, typer.Option(help="Show the attention of this layer, from 0.", min=0)
    ] = None,
    head: Annotated[
        int | None, typer.Option(help="Of this head, from 0; default: the mean of all.", min=0)
    ] = None,
    model: Model = "auto",
    truncate: Truncate = False,
    as_json: AsJson = False,
) -> None:
    """Show tokens with ids, segments and positions, and the attention of a layer or head.

    Example: bestiary explain "A cat sat." --pair "It slept." --layer 3 --head 7
    """
    if head is not None and layer is None:
        raise InvalidRequest("--head needs --layer", "head")
    with connected(context.obj) as client:
        found = client.explain(text, pair, **task_options(model, truncate))
    if as_json:
        print_json(found)
        return
    layers, heads = len(found.attention), len(found.attention[0])
    console.print(_tokens(found))
    if layer is None:
        errors.print(f"[dim]{layers} layers of {heads} heads: --layer 0 --head 0 shows one[/dim]")
    else:
        _check(layer, layers, "layer")
        _check(head or 0, heads, "head")
        whose = "mean of all heads" if head is None else f"head {head}"
        grid = found.heat(layer, head, width=grid_width(console))
        print_grid(console, f"layer {layer}, {whose}: each row looks at the columns", grid)
    warn_of_cuts([found.truncated])


def _tokens(found: Explanation) -> Table:
    """BERT's three inputs (https://arxiv.org/abs/1810.04805, figure 2)."""
    table = Table("token", "id", "segment", "position", box=None)
    rows = zip(found.tokens, found.token_ids, found.segment_ids, found.position_ids, strict=True)
    for token, *numbers in rows:
        table.add_row(Text(token), *(str(number) for number in numbers))
    return table


def _check(asked: int, there_are: int, what: str) -> None:
    if asked >= there_are:
        raise InvalidRequest(f"there is no {what} {asked}: they are 0 to {there_are - 1}", what)
