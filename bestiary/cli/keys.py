"""`bestiary keys`: who may call the platform."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from bestiary.cli.screen import console
from bestiary.state.keys import KeyScope

app = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Who or what uses it.")],
    scope: Annotated[list[KeyScope], typer.Option(help="What it may do; repeatable.")] = [  # noqa: B006
        KeyScope.INFERENCE
    ],
    requests_per_minute: Annotated[
        int | None, typer.Option(help="Instead of the profile's limit.", min=1)
    ] = None,
) -> None:
    """Make a key. It is shown once, here: only its hash is stored."""
    made = context.obj.keys().create(
        name, scopes=tuple(scope), requests_per_minute=requests_per_minute
    )
    console.print(f"id {made.key.id}", style="dim")
    print(made.secret)


@app.command("list")
def list_keys(context: typer.Context) -> None:
    """Show all keys, revoked ones too."""
    table = Table("id", "key", "name", "scopes", "created", "state", box=None)
    for key in context.obj.keys().list():
        state = "revoked" if key.revoked_at else "active"
        table.add_row(
            str(key.id),
            f"{key.prefix}…",
            key.name,
            " ".join(key.scopes),
            f"{key.created_at:%Y-%m-%d %H:%M}",
            state,
        )
    console.print(table)


@app.command()
def revoke(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="Its id, its visible beginning, or the whole key.")],
) -> None:
    """Refuse a key from now on (running gateways notice within a second)."""
    revoked = context.obj.keys().revoke(key)
    console.print(f"revoked {revoked.prefix}… ({revoked.name})")
