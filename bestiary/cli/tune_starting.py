"""`bestiary tune start`, `estimate`, `check`: data goes up, and what would be done with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from bestiary_client import Bestiary, StoredFile, TuningEstimate
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from bestiary.cli import tune_options as options
from bestiary.cli.connected import connected
from bestiary.cli.screen import errors
from bestiary.cli.tune_following import follow
from bestiary.cli.tune_output import as_json_line
from bestiary.cli.tune_tables import estimate_table, report_table


@dataclass(frozen=True)
class Uploaded:
    """A file of a command: what is stored, and whether the command put it there."""

    file: StoredFile
    new: bool


def start(
    context: typer.Context,
    base: options.Base,
    file: options.Data,
    validation: options.Validation = None,
    method: options.Method = None,
    teacher: options.Teacher = None,
    teaches_by: options.TeachesBy = None,
    epochs: options.Epochs = None,
    steps: options.Steps = None,
    learning_rate: options.LearningRate = None,
    batch_size: options.BatchSize = None,
    micro_batch_size: options.MicroBatchSize = None,
    max_tokens: options.MaxTokens = None,
    rank: options.Rank = None,
    full: options.Full = False,
    beta: options.Beta = None,
    patience: options.Patience = None,
    evaluate_every: options.EvaluateEvery = None,
    checkpoint_every: options.CheckpointEvery = None,
    held_out_share: options.HeldOut = None,
    seed: options.Seed = None,
    priority: options.Priority = None,
    workers: options.Workers = None,
    suffix: options.Suffix = None,
    gate: options.GateConditions = None,
    no_publish: options.NoPublish = False,
    min_replicas: options.MinReplicas = None,
    metadata: options.MetadataPairs = None,
    following: Annotated[
        bool,
        typer.Option("--follow/--detach", help="Watch it, or print its id and return."),
    ] = True,
) -> None:
    """Upload data, tell what is in it and what it will take, and start a job.

    Example: bestiary tune start otter tickets.jsonl --suffix tickets --gate 'exact_match>=0.9'

    Ctrl-C while it is followed stops the following, not the job.
    """
    chosen = options.options_of(
        method=method,
        teacher=teacher,
        teaches_by=teaches_by,
        epochs=epochs,
        steps=steps,
        learning_rate=learning_rate,
        batch_size=batch_size,
        micro_batch_size=micro_batch_size,
        max_tokens=max_tokens,
        rank=rank,
        full=full,
        beta=beta,
        patience=patience,
        evaluate_every=evaluate_every,
        checkpoint_every=checkpoint_every,
        held_out_share=held_out_share,
        seed=seed,
        priority=priority,
        workers=workers,
        suffix=suffix,
        gate=gate or (),
        no_publish=no_publish,
        min_replicas=min_replicas,
        metadata=metadata or (),
    )
    with connected(context.obj) as client:
        training, held_out = _both(client, file, validation)
        chosen["validation_file"] = None if held_out is None else held_out.file
        _tell(client.tuning.estimate(base, training.file, **chosen))
        job = client.tuning.create(base, training.file, **chosen)
        errors.print(f"[green]queued[/green] {job.id}")
        if following:
            follow(client, job)
        else:
            errors.print(f"to watch it: bestiary tune follow {job.id}")
            print(job.id)


def estimate(
    context: typer.Context,
    base: options.Base,
    file: options.Data,
    validation: options.Validation = None,
    method: options.Method = None,
    teacher: options.Teacher = None,
    teaches_by: options.TeachesBy = None,
    epochs: options.Epochs = None,
    steps: options.Steps = None,
    learning_rate: options.LearningRate = None,
    batch_size: options.BatchSize = None,
    micro_batch_size: options.MicroBatchSize = None,
    max_tokens: options.MaxTokens = None,
    rank: options.Rank = None,
    full: options.Full = False,
    beta: options.Beta = None,
    patience: options.Patience = None,
    evaluate_every: options.EvaluateEvery = None,
    checkpoint_every: options.CheckpointEvery = None,
    held_out_share: options.HeldOut = None,
    seed: options.Seed = None,
    as_json: options.AsJson = False,
) -> None:
    """Tell what a job would do, how long it takes and what it costs; start nothing.

    Example: bestiary tune estimate smollm2-135m-instruct tickets.jsonl --epochs 3
    """
    chosen = options.options_of(
        method=method,
        teacher=teacher,
        teaches_by=teaches_by,
        epochs=epochs,
        steps=steps,
        learning_rate=learning_rate,
        batch_size=batch_size,
        micro_batch_size=micro_batch_size,
        max_tokens=max_tokens,
        rank=rank,
        full=full,
        beta=beta,
        patience=patience,
        evaluate_every=evaluate_every,
        checkpoint_every=checkpoint_every,
        held_out_share=held_out_share,
        seed=seed,
    )
    with connected(context.obj) as client:
        training, held_out = _both(client, file, validation)
        try:
            chosen["validation_file"] = None if held_out is None else held_out.file
            found = client.tuning.estimate(base, training.file, **chosen)
        finally:
            _tidy(client, training, held_out)
    if as_json:
        print(as_json_line(found))
    else:
        _tell(found)


def check(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="A file, a folder of pictures, or an id.")],
    as_json: options.AsJson = False,
) -> None:
    """Check a training file: its format, examples, lengths, duplicates; or the lines that are bad.

    The platform checks it, and keeps nothing.

    Example: bestiary tune check tickets.jsonl
    """
    with connected(context.obj) as client:
        checked = _uploaded(client, file)
        _tidy(client, checked)
    if as_json:
        print(as_json_line(checked.file))
    elif checked.file.report is not None:
        errors.print(report_table(checked.file.report, checked.file.filename))


def upload(client: Bestiary, path: Path, purpose: str = "fine-tune") -> StoredFile:
    """With a bar."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=32),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bars:
        bar = bars.add_task(f"uploading {escape(path.name)}", total=None)
        return client.files.upload(
            path,
            purpose=purpose,
            on_progress=lambda done, total: bars.update(bar, completed=done, total=total),
        )


def _both(client: Bestiary, file: str, validation: str | None) -> tuple[Uploaded, Uploaded | None]:
    """Raises InvalidRequest where one is not there, before anything goes up."""
    for one in (file, validation):
        if one is not None:
            options.existing(one)
    training = _uploaded(client, file)
    return training, None if validation is None else _uploaded(client, validation)


def _uploaded(client: Bestiary, given: str) -> Uploaded:
    path = options.existing(given)
    if path is None:
        return Uploaded(client.files.get(given), new=False)
    return Uploaded(upload(client, path), new=True)


def _tidy(client: Bestiary, *files: Uploaded | None) -> None:
    for one in files:
        if one is not None and one.new:
            client.files.delete(one.file)


def _tell(found: TuningEstimate) -> None:
    """Data and plan, to stderr."""
    errors.print(report_table(found.training, "data"))
    if found.validation is not None:
        errors.print(report_table(found.validation, "held-out data"))
    errors.print(estimate_table(found))
    for warning in found.warnings:
        errors.print(f"[yellow]warning:[/yellow] {escape(warning)}", soft_wrap=True)
