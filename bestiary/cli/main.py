"""The `bestiary` command: options for all commands, and the one place that prints errors."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.markup import escape

from bestiary.cli import (
    canary,
    deploy,
    doctor,
    explain,
    files,
    image,
    keys,
    models,
    status,
    talk,
    tasks_encoder,
    tasks_seq2seq,
    tune,
    up,
    zoo,
)
from bestiary.cli.context import Context
from bestiary.cli.screen import errors
from bestiary.errors import BestiaryError
from bestiary.settings import Settings

app = typer.Typer(
    name="bestiary",
    help="A self-hosted Generative AI platform: real models in size tiers, on your own machines.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
)
app.command("setup", rich_help_panel="Platform")(up.setup)
app.command("up", rich_help_panel="Platform")(up.up)
app.command("down", rich_help_panel="Platform")(up.down)
app.command("status", rich_help_panel="Platform")(status.status)
app.command("doctor", rich_help_panel="Platform")(doctor.doctor)
app.command("supervise", hidden=True)(up.supervise)
app.command("chat", rich_help_panel="Use it")(talk.chat)
app.command("complete", rich_help_panel="Use it")(talk.complete)
app.command("embed", rich_help_panel="Use it")(talk.embed)
app.command("similarity", rich_help_panel="Tasks")(tasks_encoder.similarity)
app.command("rerank", rich_help_panel="Tasks")(tasks_encoder.rerank)
app.command("classify", rich_help_panel="Tasks")(tasks_encoder.classify)
app.command("token-classify", rich_help_panel="Tasks")(tasks_encoder.token_classify)
app.command("fill-mask", rich_help_panel="Tasks")(tasks_encoder.fill_mask)
app.command("next-sentence", rich_help_panel="Tasks")(tasks_encoder.next_sentence)
app.command("explain", rich_help_panel="Tasks")(explain.explain)
app.command("summarize", rich_help_panel="Tasks")(tasks_seq2seq.summarize)
app.command("translate", rich_help_panel="Tasks")(tasks_seq2seq.translate)
app.add_typer(image.app, name="image", rich_help_panel="Tasks")
app.add_typer(tune.app, name="tune", rich_help_panel="Tune")
app.add_typer(files.app, name="files", rich_help_panel="Tune")
app.add_typer(canary.app, name="canary", rich_help_panel="Tune")
app.add_typer(models.app, name="models", rich_help_panel="Manage it")
app.add_typer(keys.app, name="keys", rich_help_panel="Manage it")
app.add_typer(deploy.app, name="deploy", rich_help_panel="Manage it")
app.add_typer(zoo.app, name="zoo", rich_help_panel="Manage it")


@app.callback()
def options(
    context: typer.Context,
    home: Annotated[
        Path | None, typer.Option(help="Where keys, weights and logs live. [BESTIARY_HOME]")
    ] = None,
    port: Annotated[int | None, typer.Option(help="The gateway's port. [BESTIARY_PORT]")] = None,
    profile: Annotated[
        str | None, typer.Option(help="A profile's name or file. [BESTIARY_PROFILE]")
    ] = None,
) -> None:
    """Options before the command hold for every command; each can come from the environment."""
    given = {"HOME": home, "PORT": port, "PROFILE": profile}
    for name, value in given.items():
        if value is not None:  # where everything else reads its settings, child processes too
            os.environ[f"BESTIARY_{name}"] = str(value)
    context.obj = Context(Settings())


def main() -> None:
    """Runs the command line; an error is one clear line on stderr and a non-zero status."""
    from bestiary_client import BestiaryError as ClientError

    try:
        app()
    except (BestiaryError, ClientError) as error:
        errors.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            name = f"BESTIARY_{str(fault['loc'][0]).upper()}" if fault["loc"] else ""
            errors.print(f"[red]error:[/red] {name}: {fault['msg']}", soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
