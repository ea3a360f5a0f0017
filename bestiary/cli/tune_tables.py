"""What is known of data, plans, jobs and evaluations, as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from bestiary_client import (
    DataReport,
    JobCheckpoint,
    ModelLineage,
    StoredFile,
    TunedModel,
    TuningEstimate,
    TuningEvaluation,
    TuningJob,
    TuningPlan,
)
from rich.markup import escape
from rich.table import Table

LABELS_SHOWN = 12
BAR_WIDTH = 30  # characters
STATUS_STYLES = {
    "succeeded": "green",
    "failed": "red",
    "cancelled": "yellow",
    "paused": "yellow",
    "running": "cyan",
    "queued": "dim",
}


def facts(rows: Iterable[tuple[str, str]], title: str | None = None) -> Table:
    """Names and values, one a line; markup in values is kept."""
    table = Table(title=title, title_justify="left", show_header=False, box=None)
    table.add_column(style="bold", justify="right")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table


def file_table(file: StoredFile) -> Table:
    return facts(
        [
            ("file", escape(f"{file.id}  {file.filename}")),
            ("purpose", escape(file.purpose)),
            ("size", size(file.bytes)),
            ("status", escape(file.status)),
            ("uploaded", moment(file.created_at)),
        ]
    )


def report_table(report: DataReport, title: str = "data") -> Table:
    return facts(_report_rows(report), title)


def estimate_table(estimate: TuningEstimate) -> Table:
    return facts(
        [("method", escape(estimate.method)), *plan_rows(estimate.plan)],
        "plan",
    )


def plan_rows(plan: TuningPlan) -> Iterator[tuple[str, str]]:
    yield "examples", f"{plan.training_examples:,} to train on, {plan.held_out_examples:,} held out"
    yield "steps", f"{plan.steps:,} of {plan.batch_size} examples ({plan.epochs:.3g} epochs)"
    yield "learning rate", f"{plan.learning_rate:.3g}, warmed up over {plan.warmup_steps:,} steps"
    yield "tokens", f"{plan.training_tokens:,} an epoch, at most {plan.max_tokens:,} an example"
    yield (
        "every",
        f"{plan.evaluate_every:,} steps an evaluation, {plan.checkpoint_every:,} a checkpoint",
    )
    cost = f", costs {plan.estimated_cost:.2f}" if plan.estimated_cost else ""
    yield "takes", f"about {duration(plan.estimated_seconds)}{cost}"


def jobs_table(jobs: Iterable[TuningJob]) -> Table:
    table = Table("job", "status", "base", "method", "steps", "created", "model", box=None)
    for job in jobs:
        table.add_row(
            job.id,
            status(job),
            escape(job.base),
            job.method,
            steps(job),
            moment(job.created_at),
            escape(job.tuned_model or "-"),
        )
    return table


def job_table(job: TuningJob) -> Table:
    return facts(_job_rows(job))


def evaluation_table(evaluation: TuningEvaluation) -> Table:
    """Without confusions of labels (`confusion/ham/spam`), which are many."""
    table = Table(
        "metric",
        title=f"on {evaluation.examples:,} held-out examples",
        title_justify="left",
        box=None,
    )
    for column in ("base", "tuned", "change"):
        table.add_column(column, justify="right")
    for name in dict.fromkeys((*evaluation.base, *evaluation.tuned)):
        if "/" in name:
            continue
        table.add_row(
            escape(name), *_compared(evaluation.base.get(name), evaluation.tuned.get(name))
        )
    if evaluation.general_base is not None or evaluation.general_tuned is not None:
        table.add_row(
            "perplexity on general text",
            *_compared(evaluation.general_base, evaluation.general_tuned),
        )
    return table


def verdict_lines(evaluation: TuningEvaluation) -> Iterator[str]:
    verdict = "[green]passed[/green]" if evaluation.passed else "[red]not passed[/red]"
    yield f"gate {verdict}" + ("" if evaluation.reasons else ": it asks for nothing")
    for reason in evaluation.reasons:
        style = "red" if reason.startswith("failed") else "green"
        yield f"  [{style}]{escape(reason)}[/{style}]"


def checkpoints_table(found: Iterable[JobCheckpoint]) -> Table:
    table = Table("checkpoint", "step", "saved", "metrics", box=None)
    for one in found:
        told = ", ".join(f"{name} {value:.4g}" for name, value in one.metrics.items())
        table.add_row(one.id, str(one.step), moment(one.created_at), told)
    return table


def models_table(models: Iterable[TunedModel]) -> Table:
    table = Table("model", "kind", "base", "method", "examples", "gate", "created", box=None)
    for model in models:
        plan, evaluation = model.lineage.plan, model.lineage.evaluation
        table.add_row(
            escape(model.id),
            model.kind,
            escape(model.base),
            model.lineage.method,
            "-" if plan is None else f"{plan.training_examples:,}",
            "-" if evaluation is None else ("passed" if evaluation.passed else "not passed"),
            moment(model.created_at),
        )
    return table


def lineage_table(lineage: ModelLineage) -> Table:
    return facts(
        [
            ("job", lineage.job),
            ("base", escape(f"{lineage.base} at {lineage.base_revision}")),
            ("method", f"{lineage.method}, seed {lineage.seed}"),
            ("training data", f"sha256 {lineage.training_sha256}"),
            ("held-out data", _sha256(lineage.validation_sha256)),
            ("code", escape(lineage.code_version)),
            ("trained", f"{lineage.trained_tokens:,} tokens in {_took(lineage)}"),
            ("asked for", escape(_said(lineage.hyperparameters))),
        ],
        "lineage",
    )


def status(job: TuningJob) -> str:
    style = STATUS_STYLES.get(job.status, "")
    return f"[{style}]{job.status}[/{style}]" if style else escape(job.status)


def steps(job: TuningJob) -> str:
    if job.progress is None:
        return "-"
    total = job.progress.total_steps
    return f"{job.progress.completed_steps}/{'?' if total is None else total}"


def moment(when: datetime) -> str:
    return f"{when.astimezone():%Y-%m-%d %H:%M:%S}"


def duration(seconds: float) -> str:
    """In the two biggest units that matter."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.4g} {unit}"
        count /= 1000
    return f"{count:.4g} GB"


def _report_rows(report: DataReport) -> Iterator[tuple[str, str]]:
    yield "format", escape(report.format)
    yield "examples", f"{report.examples:,}"
    counted = "" if report.tokens is None else f", {report.tokens:,} tokens"
    yield "length", f"{report.characters:,} characters{counted}"
    if report.duplicates:
        yield "duplicates", f"[yellow]{report.duplicates:,}[/yellow]"
    if report.overlap:
        yield "overlap", f"[yellow]{report.overlap:,} are in the training file too[/yellow]"
    unit = "characters" if report.tokens is None else "tokens"
    most = max((one.examples for one in report.lengths), default=0)
    for one in report.lengths:
        bar = "█" * round(BAR_WIDTH * one.examples / most) if most else ""
        yield f"to {one.up_to:,} {unit}", f"{bar} {one.examples:,}"
    by_count = sorted(report.labels.items(), key=lambda item: -item[1])
    for label, count in by_count[:LABELS_SHOWN]:
        yield "label", f"{escape(label)}  {count:,}"
    if len(by_count) > LABELS_SHOWN:
        yield "label", f"... and {len(by_count) - LABELS_SHOWN} more"
    for warning in report.warnings:
        yield "warning", f"[yellow]{escape(warning)}[/yellow]"


def _job_rows(job: TuningJob) -> Iterator[tuple[str, str]]:
    yield "job", job.id
    yield "status", status(job)
    yield "base", escape(job.base)
    yield "method", f"{job.method}, seed {job.seed}"
    held_out = f", held out: {job.validation_file}" if job.validation_file else ""
    yield "data", f"{job.training_file}{held_out}"
    yield "created", moment(job.created_at)
    if job.attempt > 1:
        yield "attempts", f"{job.attempt} (it went on from its checkpoint each time)"
    if job.plan is not None:
        yield from plan_rows(job.plan)
    if job.progress is not None:
        yield "done", f"{steps(job)} steps, {job.progress.percent:.0f} %"
    if job.estimated_finish is not None:
        yield "ready", f"about {moment(job.estimated_finish)}"
    if job.finished_at is not None:
        yield "finished", moment(job.finished_at)
    if job.metadata:
        yield "metadata", escape(_said(job.metadata))
    if job.failure is not None:
        yield "failed", f"[red]{escape(job.failure.message)}[/red] ({job.failure.code})"
    if job.tuned_model is not None:
        yield "model", f"[green]{escape(job.tuned_model)}[/green]"
    for file in job.result_files:
        yield "results", file


def _compared(base: float | None, tuned: float | None) -> tuple[str, str, str]:
    if base is None or tuned is None:
        return _figure(base), _figure(tuned), ""
    return _figure(base), _figure(tuned), f"{tuned - base:+.4g}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _sha256(found: str | None) -> str:
    return "held out of the training data" if found is None else f"sha256 {found}"


def _took(lineage: ModelLineage) -> str:
    return duration(lineage.training_seconds)


def _said(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items()) or "nothing"
