"""OpenAI's fine-tuning jobs on the wire: what callers get.

`bestiary` on a job has what OpenAI's object has no place for: the exact method, the plan, how far
it is, the evaluation with each condition of the gate, and when it should be done.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bestiary.schemas.tuning import Job, JobCheckpoint, JobEvent, JobStatus, Method, TrainingPlan

ORGANIZATION = "bestiary"
JOB = "fine_tuning.job"


def job_json(job: Job, now: datetime | None = None) -> dict[str, object]:
    spec = job.spec
    hyperparameters = _hyperparameters_json(job)
    return {
        "id": job.id,
        "object": JOB,
        "created_at": _seconds(job.created_at),
        "error": None if job.error is None else job.error.model_dump(mode="json"),
        "fine_tuned_model": job.fine_tuned_model,
        "finished_at": _seconds(job.finished_at),
        "hyperparameters": hyperparameters,
        "model": spec.base,
        "organization_id": ORGANIZATION,
        "result_files": list(job.result_files),
        "seed": spec.seed,
        "status": job.status.value,
        "trained_tokens": job.trained_tokens if job.status.final else None,
        "training_file": spec.training_file,
        "validation_file": spec.validation_file,
        "estimated_finish": _seconds(_estimated_finish(job, now or datetime.now(UTC))),
        "integrations": [],
        "metadata": spec.metadata,
        "method": _method_json(job, hyperparameters),
        "bestiary": _extension_json(job),
    }


def event_json(event: JobEvent) -> dict[str, object]:
    return {
        "id": event.id,
        "object": f"{JOB}.event",
        "created_at": _seconds(event.created_at),
        "level": event.level.value,
        "type": event.kind.value,
        "message": event.message,
        "data": event.data or None,
    }


def checkpoint_json(checkpoint: JobCheckpoint) -> dict[str, object]:
    """A checkpoint is no model that could be asked until it is published: its name is its id."""
    return {
        "id": checkpoint.id,
        "object": f"{JOB}.checkpoint",
        "created_at": _seconds(checkpoint.created_at),
        "fine_tuned_model_checkpoint": checkpoint.id,
        "fine_tuning_job_id": checkpoint.job,
        "metrics": {"step": checkpoint.step, **_openai_metrics(checkpoint.metrics)},
        "step_number": checkpoint.step,
    }


def plan_json(plan: TrainingPlan) -> dict[str, object]:
    return plan.model_dump(mode="json")


def _openai_metrics(metrics: dict[str, float]) -> dict[str, float]:
    """Ours are named as OpenAI's; its `full_valid_loss` is what our `valid_loss` is."""
    full = {"full_valid_loss": metrics["valid_loss"]} if "valid_loss" in metrics else {}
    return {**metrics, **full}


def _hyperparameters_json(job: Job) -> dict[str, object]:
    """As planned; "auto" where there is no plan yet."""
    asked, plan = job.spec.hyperparameters, job.plan
    return {
        "n_epochs": asked.epochs or ("auto" if plan is None else max(1, round(plan.epochs))),
        "batch_size": asked.batch_size or ("auto" if plan is None else plan.batch_size),
        "learning_rate_multiplier": asked.learning_rate_multiplier or "auto",
    }


def _method_json(job: Job, hyperparameters: dict[str, object]) -> dict[str, object]:
    """OpenAI has two of our methods; the others learn from given answers too, so they are its
    `supervised`. `bestiary.method` has each one's own name."""
    if job.spec.method is Method.DPO:
        of_dpo = {**hyperparameters, "beta": job.spec.hyperparameters.beta}
        return {"type": "dpo", "dpo": {"hyperparameters": of_dpo}}
    return {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}


def _extension_json(job: Job) -> dict[str, object]:
    spec, plan = job.spec, job.plan
    total = None if plan is None else plan.steps
    return {
        "method": spec.method.value,
        "suffix": spec.suffix,
        "hyperparameters": spec.hyperparameters.model_dump(mode="json"),
        "gate": spec.gate.model_dump(mode="json"),
        "publish": spec.publish,
        "teacher": spec.teacher,
        "priority": spec.priority,
        "workers": spec.workers,
        "min_replicas": spec.min_replicas,
        "plan": None if plan is None else plan_json(plan),
        "progress": {
            "completed_steps": job.completed_steps,
            "total_steps": total,
            "percent": round(100 * job.completed_steps / total, 1) if total else 0.0,
            "trained_tokens": job.trained_tokens,
        },
        "evaluation": None if job.evaluation is None else job.evaluation.model_dump(mode="json"),
        "attempt": job.attempt,
        "started_at": _seconds(job.started_at),
    }


def _estimated_finish(job: Job, now: datetime) -> datetime | None:
    """By the pace so far; before there is one, by the plan's rule of thumb."""
    if job.status is not JobStatus.RUNNING or job.plan is None or job.started_at is None:
        return None
    left = job.plan.steps - job.completed_steps
    # After a restart the time since the start is not time of work.
    paced = job.attempt == 1 and job.completed_steps > 0
    pace = (
        (now - job.started_at) / job.completed_steps
        if paced
        else timedelta(seconds=job.plan.estimated_seconds / job.plan.steps)
    )
    return now + left * pace


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
