"""The wire of files, tuning jobs and canaries -> what callers get. Pure.

Raises UnexpectedReply where the wire is not ours.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import TypeVar

from bestiary_client._canary_results import Canary, CanaryArm, CanaryRules
from bestiary_client._errors import UnexpectedReply
from bestiary_client._file_results import DataReport, LengthBin, StoredFile
from bestiary_client._json import JsonObject, get, get_objects, get_optional
from bestiary_client._numbers import number, strings
from bestiary_client._tuning_results import (
    JobCheckpoint,
    JobEvent,
    JobFailure,
    Metrics,
    ModelLineage,
    StepMetrics,
    TunedModel,
    TuningEstimate,
    TuningEvaluation,
    TuningJob,
    TuningPlan,
    TuningProgress,
)

T = TypeVar("T")


def stored_file(body: JsonObject) -> StoredFile:
    extension = get_optional(body, "bestiary", dict) or {}
    return StoredFile(
        id=get(body, "id", str),
        filename=get(body, "filename", str),
        purpose=get(body, "purpose", str),
        bytes=get(body, "bytes", int),
        status=get_optional(body, "status", str) or "uploaded",
        created_at=_moment(body, "created_at"),
        report=data_report(extension) if "format" in extension else None,
    )


def data_report(told: JsonObject) -> DataReport:
    labels = get_optional(told, "labels", dict) or {}
    return DataReport(
        format=get(told, "format", str),
        examples=get(told, "examples", int),
        characters=get(told, "characters", int),
        tokens=get_optional(told, "tokens", int),
        duplicates=get_optional(told, "duplicates", int) or 0,
        overlap=get_optional(told, "overlap", int),
        lengths=tuple(
            LengthBin(get(one, "up_to", int), get(one, "examples", int))
            for one in _objects(told, "lengths")
        ),
        labels={name: get(labels, name, int) for name in labels},
        warnings=_strings(told, "warnings"),
    )


def tuning_job(body: JsonObject) -> TuningJob:
    extension = get_optional(body, "bestiary", dict) or {}
    return TuningJob(
        id=get(body, "id", str),
        base=get(body, "model", str),
        method=get_optional(extension, "method", str) or _method(body),
        status=get(body, "status", str),
        created_at=_moment(body, "created_at"),
        training_file=get(body, "training_file", str),
        validation_file=get_optional(body, "validation_file", str),
        seed=get_optional(body, "seed", int) or 0,
        suffix=get_optional(extension, "suffix", str),
        started_at=_moment_or_none(extension, "started_at"),
        finished_at=_moment_or_none(body, "finished_at"),
        estimated_finish=_moment_or_none(body, "estimated_finish")
        or _moment_or_none(extension, "estimated_finish"),
        tuned_model=get_optional(body, "fine_tuned_model", str),
        trained_tokens=get_optional(body, "trained_tokens", int),
        result_files=_strings(body, "result_files"),
        hyperparameters=get_optional(extension, "hyperparameters", dict)
        or get_optional(body, "hyperparameters", dict)
        or {},
        metadata=get_optional(body, "metadata", dict) or {},
        plan=_part(extension, "plan", _plan),
        progress=_part(extension, "progress", _progress),
        evaluation=_part(extension, "evaluation", _evaluation),
        attempt=get_optional(extension, "attempt", int) or 0,
        failure=_failure(body),
    )


def estimate(body: JsonObject) -> TuningEstimate:
    return TuningEstimate(
        method=get(body, "method", str),
        plan=_plan(get(body, "plan", dict)),
        training=data_report(get(body, "training", dict)),
        validation=_part(body, "validation", data_report),
        warnings=_strings(body, "warnings"),
    )


def job_event(body: JsonObject) -> JobEvent:
    return JobEvent(
        id=get(body, "id", str),
        created_at=_moment(body, "created_at"),
        level=get(body, "level", str),
        type=get_optional(body, "type", str) or "message",
        message=get(body, "message", str),
        data=get_optional(body, "data", dict) or {},
    )


def checkpoint(body: JsonObject) -> JobCheckpoint:
    told = get_optional(body, "metrics", dict) or {}
    return JobCheckpoint(
        id=get(body, "id", str),
        job=get(body, "fine_tuning_job_id", str),
        step=get(body, "step_number", int),
        created_at=_moment(body, "created_at"),
        metrics=measured({name: one for name, one in told.items() if name != "step"}),
        model=get_optional(body, "fine_tuned_model_checkpoint", str),
    )


def step_metrics(body: JsonObject) -> tuple[StepMetrics, ...]:
    """Of the whole job, by step."""
    return tuple(
        StepMetrics(
            get(row, "step", int), measured({name: row[name] for name in row if name != "step"})
        )
        for row in get_objects(body, "data")
    )


def measured(told: JsonObject) -> Metrics:
    """The numbers among the values."""
    return {
        name: float(value)
        for name, value in told.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def tuned_model(body: JsonObject) -> TunedModel:
    return TunedModel(
        id=get(body, "id", str),
        base=get(body, "base", str),
        kind=get(body, "kind", str),
        created_at=_moment(body, "created_at"),
        lineage=_lineage(get(body, "lineage", dict)),
        min_replicas=get_optional(body, "min_replicas", int) or 0,
    )


def canary(body: JsonObject) -> Canary:
    return Canary(
        alias=get(body, "alias", str),
        base=get(body, "base", str),
        candidate=get(body, "candidate", str),
        weight=number(body, "weight"),
        state=get(body, "state", str),
        step=get(body, "step", int),
        rules=_rules(get(body, "rules", dict)),
        base_arm=_arm(get(body, "base_counts", dict)),
        candidate_arm=_arm(get(body, "candidate_counts", dict)),
        reason=get_optional(body, "reason", str) or "",
        created_at=_moment(body, "created_at"),
        updated_at=_moment(body, "updated_at"),
    )


def _method(body: JsonObject) -> str:
    """OpenAI's own place for it."""
    return get(get(body, "method", dict), "type", str)


def _plan(told: JsonObject) -> TuningPlan:
    return TuningPlan(
        steps=get(told, "steps", int),
        epochs=number(told, "epochs"),
        batch_size=get(told, "batch_size", int),
        micro_batch_size=get(told, "micro_batch_size", int),
        learning_rate=number(told, "learning_rate"),
        warmup_steps=get(told, "warmup_steps", int),
        max_tokens=get(told, "max_tokens", int),
        evaluate_every=get(told, "evaluate_every", int),
        checkpoint_every=get(told, "checkpoint_every", int),
        training_examples=get(told, "training_examples", int),
        held_out_examples=get(told, "held_out_examples", int),
        training_tokens=get(told, "training_tokens", int),
        estimated_seconds=number(told, "estimated_seconds"),
        estimated_cost=number(told, "estimated_cost") if "estimated_cost" in told else 0.0,
    )


def _progress(told: JsonObject) -> TuningProgress:
    return TuningProgress(
        completed_steps=get(told, "completed_steps", int),
        total_steps=get_optional(told, "total_steps", int),
        percent=number(told, "percent"),
    )


def _evaluation(told: JsonObject) -> TuningEvaluation:
    return TuningEvaluation(
        examples=get(told, "examples", int),
        base=measured(get(told, "base", dict)),
        tuned=measured(get(told, "tuned", dict)),
        general_base=_number_or_none(told, "general_base"),
        general_tuned=_number_or_none(told, "general_tuned"),
        passed=get(told, "passed", bool),
        reasons=_strings(told, "reasons"),
    )


def _failure(body: JsonObject) -> JobFailure | None:
    """OpenAI's jobs that did not fail have an error without a code, or none."""
    told = get_optional(body, "error", dict) or {}
    if told.get("code") is None:
        return None
    return JobFailure(
        get(told, "code", str), get(told, "message", str), get_optional(told, "param", str)
    )


def _lineage(told: JsonObject) -> ModelLineage:
    return ModelLineage(
        job=get(told, "job", str),
        base=get(told, "base", str),
        base_revision=get(told, "base_revision", str),
        training_sha256=get(told, "training_sha256", str),
        validation_sha256=get_optional(told, "validation_sha256", str),
        code_version=get(told, "code_version", str),
        method=get(told, "method", str),
        seed=get(told, "seed", int),
        trained_tokens=get(told, "trained_tokens", int),
        training_seconds=number(told, "training_seconds"),
        created_at=_moment(told, "created_at"),
        hyperparameters=get_optional(told, "hyperparameters", dict) or {},
        plan=_part(told, "plan", _plan),
        evaluation=_part(told, "evaluation", _evaluation),
    )


def _rules(told: JsonObject) -> CanaryRules:
    return CanaryRules(
        weights=tuple(float(one) for one in get(told, "weights", list)),
        min_requests=get(told, "min_requests", int),
        min_step_s=number(told, "min_step_s"),
        max_error_increase=number(told, "max_error_increase"),
        max_latency_ratio=number(told, "max_latency_ratio"),
        metric=get_optional(told, "metric", str),
        automatic=get(told, "automatic", bool),
    )


def _arm(told: JsonObject) -> CanaryArm:
    return CanaryArm(
        requests=get(told, "requests", int),
        errors=get(told, "errors", int),
        mean_first_token_s=_number_or_none(told, "mean_first_token_s"),
    )


def _part(obj: JsonObject, name: str, read: Callable[[JsonObject], T]) -> T | None:
    told = get_optional(obj, name, dict)
    return None if told is None else read(told)


def _objects(obj: JsonObject, name: str) -> list[JsonObject]:
    return [] if obj.get(name) is None else get_objects(obj, name)


def _strings(obj: JsonObject, name: str) -> tuple[str, ...]:
    return () if obj.get(name) is None else strings(obj, name)


def _number_or_none(obj: JsonObject, name: str) -> float | None:
    return None if obj.get(name) is None else number(obj, name)


def _moment_or_none(obj: JsonObject, name: str) -> datetime | None:
    return None if obj.get(name) is None else _moment(obj, name)


def _moment(obj: JsonObject, name: str) -> datetime:
    """Seconds since 1970, as OpenAI writes it, or ISO 8601."""
    value = obj.get(name)
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError as error:
            raise UnexpectedReply(f"field {name!r} of the reply should be a time") from error
        return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
    return datetime.fromtimestamp(number(obj, name), timezone.utc)
