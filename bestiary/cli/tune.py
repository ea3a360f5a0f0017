"""`bestiary tune`: models made of your own data, from a file to an endpoint."""

from __future__ import annotations

import typer

from bestiary.cli import tune_models, tune_starting, tune_watching

app = typer.Typer(
    help="Tune models on your own data, watch it, compare, publish. `bestiary canary` moves "
    "traffic onto the result.\n\n"
    "A first time: `bestiary tune check FILE`, `bestiary tune start BASE FILE`, "
    "`bestiary tune compare MODEL PROMPT`.",
    no_args_is_help=True,
)
_BEFORE, _START, _WATCH, _MOVE = "Before it starts", "Start", "Watch", "Stop and go on"
_RESULT = "What came of it"
app.command("check", rich_help_panel=_BEFORE)(tune_starting.check)
app.command("estimate", rich_help_panel=_BEFORE)(tune_starting.estimate)
app.command("start", rich_help_panel=_START)(tune_starting.start)
app.command("list", rich_help_panel=_WATCH)(tune_watching.list_jobs)
app.command("show", rich_help_panel=_WATCH)(tune_watching.show)
app.command("follow", rich_help_panel=_WATCH)(tune_watching.follow)
app.command("events", rich_help_panel=_WATCH)(tune_watching.events)
app.command("checkpoints", rich_help_panel=_WATCH)(tune_watching.checkpoints)
app.command("curve", rich_help_panel=_WATCH)(tune_watching.curve)
app.command("pause", rich_help_panel=_MOVE)(tune_watching.pause)
app.command("resume", rich_help_panel=_MOVE)(tune_watching.resume)
app.command("cancel", rich_help_panel=_MOVE)(tune_watching.cancel)
app.command("models", rich_help_panel=_RESULT)(tune_models.list_models)
app.command("model", rich_help_panel=_RESULT)(tune_models.show_model)
app.command("compare", rich_help_panel=_RESULT)(tune_models.compare)
app.command("delete", rich_help_panel=_RESULT)(tune_models.delete)
