"""`bestiary canary`: traffic of an alias, moved from a base to a candidate step by step."""

from __future__ import annotations

from typing import Annotated

import typer
from bestiary_client import Canary, CanaryArm
from rich.markup import escape
from rich.table import Table

from bestiary.cli.connected import connected
from bestiary.cli.screen import console, errors
from bestiary.cli.tune_options import AsJson
from bestiary.cli.tune_output import as_json_line
from bestiary.cli.tune_tables import facts, moment
from bestiary.errors import InvalidRequest

app = typer.Typer(
    help="Canaries: an alias that is one model for most and another for some; it promotes or "
    "rolls back by itself on rules.",
    no_args_is_help=True,
)
Alias = Annotated[str, typer.Argument(help="The name that callers ask for.", show_default=False)]
_STATES = {"running": "cyan", "promoted": "green", "rolled_back": "red"}


@app.command()
def start(
    context: typer.Context,
    alias: Alias,
    candidate: Annotated[str, typer.Option(help="The new model, for instance ft:...")],
    base: Annotated[
        str | None,
        typer.Option(help="The model that answers now; default: what the alias means already."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="The candidate's share, step by step: 0.05,0.25,1."),
    ] = None,
    weight: Annotated[
        float | None, typer.Option(help="Its share at first, if not the first step's.")
    ] = None,
    min_requests: Annotated[
        int | None, typer.Option(help="Of the candidate before a step is judged.", min=1)
    ] = None,
    min_step_s: Annotated[
        float | None, typer.Option(help="Least seconds of a step.", min=0)
    ] = None,
    max_error_increase: Annotated[
        float | None, typer.Option(help="Of the share of requests that fail, 0 to 1.")
    ] = None,
    max_latency_ratio: Annotated[
        float | None, typer.Option(help="Seconds to the first token, candidate over base.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Of the candidate's evaluation: it must beat its base's.")
    ] = None,
    manual: Annotated[
        bool, typer.Option("--manual", help="Only you move it, no rule does.")
    ] = False,
) -> None:
    """Let a candidate answer a part of an alias's requests.

    Example: bestiary canary start support --base otter --candidate ft:... --weights 0.05,0.25,1
    """
    with connected(context.obj) as client:
        canary = client.canaries.start(
            alias,
            base=base,
            candidate=candidate,
            weight=weight,
            weights=None if weights is None else _weights(weights),
            min_requests=min_requests,
            min_step_s=min_step_s,
            max_error_increase=max_error_increase,
            max_latency_ratio=max_latency_ratio,
            metric=metric,
            automatic=False if manual else None,
        )
    _tell(canary)


@app.command()
def status(
    context: typer.Context,
    alias: Annotated[str | None, typer.Argument(help="One alias; else all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show shares, requests, errors and times to the first token of both sides.

    Example: bestiary canary status support
    """
    with connected(context.obj) as client:
        found = list(client.canaries.list()) if alias is None else [client.canaries.get(alias)]
    if as_json:
        for one in found:
            print(as_json_line(one))
    elif alias is None:
        console.print(_overview(found))
    else:
        console.print(_details(found[0]))
        console.print(_arms(found[0]))


@app.command()
def move(
    context: typer.Context,
    alias: Alias,
    weight: Annotated[
        float | None, typer.Option(help="The candidate's share, 0 to 1.", min=0, max=1)
    ] = None,
    step: Annotated[int | None, typer.Option(help="Place in its weights, from 0.", min=0)] = None,
) -> None:
    """Give the candidate another share by hand.

    Example: bestiary canary move support --weight 0.5
    """
    if (weight is None) == (step is None):
        raise InvalidRequest("give --weight or --step", "weight")
    with connected(context.obj) as client:
        _tell(client.canaries.move(alias, weight=weight, step=step))


@app.command()
def promote(context: typer.Context, alias: Alias) -> None:
    """Let the candidate answer everything.

    Example: bestiary canary promote support
    """
    with connected(context.obj) as client:
        _tell(client.canaries.promote(alias))


@app.command()
def rollback(context: typer.Context, alias: Alias) -> None:
    """Let the base answer everything again.

    Example: bestiary canary rollback support
    """
    with connected(context.obj) as client:
        _tell(client.canaries.rollback(alias))


@app.command()
def end(context: typer.Context, alias: Alias) -> None:
    """Remove the canary: the alias means what it did before there was one.

    Example: bestiary canary end support
    """
    with connected(context.obj) as client:
        client.canaries.end(alias)
    errors.print(f"{escape(alias)} means again what it did before")


def _weights(given: str) -> list[float]:
    try:
        return [float(one) for one in given.split(",")]
    except ValueError as error:
        raise InvalidRequest(f"{given!r} are no shares; write 0.05,0.25,1", "weights") from error


def _tell(canary: Canary) -> None:
    errors.print(
        f"{escape(canary.alias)}: {_state(canary)}, {canary.weight:.0%} to "
        f"{escape(canary.candidate)}, {1 - canary.weight:.0%} to {escape(canary.base)}",
        soft_wrap=True,
    )


def _overview(found: list[Canary]) -> Table:
    table = Table("alias", "state", "share", "base", "candidate", "moved", box=None)
    for one in found:
        table.add_row(
            escape(one.alias),
            _state(one),
            f"{one.weight:.0%}",
            escape(one.base),
            escape(one.candidate),
            moment(one.updated_at),
        )
    return table


def _details(canary: Canary) -> Table:
    rules = canary.rules
    steps = ", ".join(
        f"[bold]{weight:g}[/bold]" if place == canary.step else f"{weight:g}"
        for place, weight in enumerate(rules.weights)
    )
    who = "rules move it" if rules.automatic else "only a person moves it"
    compared = f", {rules.metric} over its base's" if rules.metric else ""
    return facts(
        [
            ("alias", escape(canary.alias)),
            ("state", _state(canary)),
            ("reason", escape(canary.reason) or "-"),
            ("steps", f"{steps}; {who}"),
            (
                "rules",
                f"after {rules.min_requests} requests and {rules.min_step_s:g} s: at most "
                f"{rules.max_error_increase:.1%} more errors, first token within "
                f"{rules.max_latency_ratio:g} times{compared}",
            ),
            ("started", moment(canary.created_at)),
            ("moved", moment(canary.updated_at)),
        ]
    )


def _arms(canary: Canary) -> Table:
    table = Table("side", "model", title="in this step", title_justify="left", box=None)
    for column in ("share", "requests", "errors", "first token"):
        table.add_column(column, justify="right")
    sides = (
        ("base", canary.base, 1 - canary.weight, canary.base_arm),
        ("candidate", canary.candidate, canary.weight, canary.candidate_arm),
    )
    for side, model, share, arm in sides:
        table.add_row(side, escape(model), f"{share:.0%}", *_figures(arm))
    return table


def _figures(arm: CanaryArm) -> tuple[str, str, str]:
    mean = arm.mean_first_token_s
    first = "-" if mean is None else f"{mean * 1000:.0f} ms"
    return f"{arm.requests:,}", f"{arm.errors:,} ({arm.error_rate:.1%})", first


def _state(canary: Canary) -> str:
    style = _STATES.get(canary.state, "dim")
    return f"[{style}]{canary.state.replace('_', ' ')}[/{style}]"
