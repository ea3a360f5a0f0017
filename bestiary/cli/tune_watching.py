"""`bestiary tune list`, `show`, `follow`, `events`, `checkpoints`, `curve`, `cancel`, ..."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from bestiary_client import StepMetrics, TuningJob
from rich.markup import escape

from bestiary.cli import tune_following
from bestiary.cli import tune_options as options
from bestiary.cli.connected import connected
from bestiary.cli.image_files import make_way
from bestiary.cli.screen import console, errors
from bestiary.cli.tune_curve import TRAINING
from bestiary.cli.tune_output import as_json_line
from bestiary.cli.tune_plot import sparkline
from bestiary.cli.tune_tables import (
    checkpoints_table,
    evaluation_table,
    job_table,
    jobs_table,
    lineage_table,
    moment,
    status,
    verdict_lines,
)

SPARKLINE_WIDTH = 48
Limit = Annotated[int, typer.Option(help="Most to show.", min=1)]


def list_jobs(
    context: typer.Context,
    only: Annotated[
        str | None, typer.Option("--status", help="queued, running, paused, succeeded, ...")
    ] = None,
    limit: Limit = 20,
    as_json: options.AsJson = False,
) -> None:
    """Show the jobs, newest first.

    Example: bestiary tune list --status running
    """
    with connected(context.obj) as client:
        wanted = (job for job in client.tuning.list() if only in (None, job.status))
        found = list(islice(wanted, limit))
    if as_json:
        for job in found:
            print(as_json_line(job))
    else:
        console.print(jobs_table(found))


def show(context: typer.Context, job: options.Job, as_json: options.AsJson = False) -> None:
    """Show one job: plan, progress, evaluation against the base, the gate, where it comes from.

    Example: bestiary tune show ftjob-1234
    """
    with connected(context.obj) as client:
        found = client.tuning.get(job)
        if as_json:
            print(as_json_line(found))
            return
        console.print(job_table(found))
        losses = [
            one.values[TRAINING] for one in client.tuning.metrics(job) if TRAINING in one.values
        ]
        if losses:
            console.print(
                f"loss {losses[0]:.4g} {sparkline(losses, SPARKLINE_WIDTH)} {losses[-1]:.4g}"
            )
        if found.evaluation is not None:
            console.print(evaluation_table(found.evaluation))
            for line in verdict_lines(found.evaluation):
                console.print(line, soft_wrap=True)
        if found.tuned_model is not None:
            console.print(lineage_table(client.tuning.models.get(found.tuned_model).lineage))


def follow(context: typer.Context, job: options.Job) -> None:
    """Watch a job until it ends: its bar, its losses, what happens. Prints the model's name.

    Restarts of the platform are waited for. Ctrl-C stops the watching, not the job.

    Example: bestiary tune follow ftjob-1234
    """
    with connected(context.obj) as client:
        tune_following.follow(client, client.tuning.get(job))


def events(
    context: typer.Context,
    job: options.Job,
    metrics: Annotated[bool, typer.Option("--metrics", help="Each step's too.")] = False,
    limit: Limit = 1000,
    as_json: options.AsJson = False,
) -> None:
    """Show what happened to a job, oldest first.

    Example: bestiary tune events ftjob-1234 --metrics
    """
    with connected(context.obj) as client:
        told = (one for one in client.tuning.events(job) if metrics or one.type != "metrics")
        found = list(islice(told, limit))
    for event in reversed(found):
        if as_json:
            print(as_json_line(event))
        else:
            line = f"[dim]{moment(event.created_at)}[/dim] {event.level:<5} {escape(event.message)}"
            console.print(line, soft_wrap=True)


def checkpoints(
    context: typer.Context,
    job: options.Job,
    limit: Limit = 50,
    as_json: options.AsJson = False,
) -> None:
    """Show the checkpoints of a job, newest first: where it goes on after a kill.

    Example: bestiary tune checkpoints ftjob-1234
    """
    with connected(context.obj) as client:
        found = list(islice(client.tuning.checkpoints(job), limit))
    if as_json:
        for one in found:
            print(as_json_line(one))
    else:
        console.print(checkpoints_table(found))


def curve(
    context: typer.Context,
    job: options.Job,
    output: Annotated[Path, typer.Option("--output", "-o", help="A PNG file.")] = Path("loss.png"),
    force: Annotated[bool, typer.Option("--force", help="Write over a file.")] = False,
) -> None:
    """Write the curve of a job's losses as a picture.

    Example: bestiary tune curve ftjob-1234 -o loss.png
    """
    make_way([output], force)
    with connected(context.obj) as client:
        output.write_bytes(client.tuning.curve(job))
    print(output)


def cancel(context: typer.Context, job: options.Job) -> None:
    """End a job for good; nothing is published.

    Example: bestiary tune cancel ftjob-1234
    """
    with connected(context.obj) as client:
        _moved(client.tuning.cancel(job))


def pause(context: typer.Context, job: options.Job) -> None:
    """Stop a job at a checkpoint, to go on later; others may use its trainer.

    Example: bestiary tune pause ftjob-1234
    """
    with connected(context.obj) as client:
        _moved(client.tuning.pause(job))


def resume(context: typer.Context, job: options.Job) -> None:
    """Queue a paused job again; it goes on where it was.

    Example: bestiary tune resume ftjob-1234
    """
    with connected(context.obj) as client:
        _moved(client.tuning.resume(job))


def _show_losses(metrics: tuple[StepMetrics, ...]) -> None:
    losses = [one.values[TRAINING] for one in metrics if TRAINING in one.values]
    if losses:
        drawn = sparkline(losses, SPARKLINE_WIDTH)
        console.print(f"loss {losses[0]:.4g} {drawn} {losses[-1]:.4g}")


def _moved(job: TuningJob) -> None:
    errors.print(f"{job.id}: {status(job)}")
