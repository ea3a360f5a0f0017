"""Replies of files, tuning jobs, tuned models and canaries."""

from __future__ import annotations

from scripted_server import Reply

FILE_ID = "file-0123456789abcdef01234567"
JOB_ID = "ftjob-0123456789abcdef01234567"
MODEL_ID = "ft:tiny-135m:tickets:1a2b3c4d"
CREATED = 1_790_000_000  # seconds since 1970
REPORT: dict[str, object] = {
    "format": "chat",
    "examples": 40,
    "characters": 4000,
    "tokens": 1200,
    "duplicates": 2,
    "overlap": None,
    "lengths": [{"up_to": 32, "examples": 30}, {"up_to": 64, "examples": 10}],
    "labels": {},
    "warnings": ["2 examples are exactly as an earlier one"],
}
PLAN: dict[str, object] = {
    "steps": 20,
    "epochs": 4.0,
    "batch_size": 8,
    "micro_batch_size": 4,
    "learning_rate": 2e-4,
    "warmup_steps": 1,
    "max_tokens": 512,
    "evaluate_every": 5,
    "checkpoint_every": 5,
    "training_examples": 36,
    "held_out_examples": 4,
    "training_tokens": 1100,
    "estimated_seconds": 90.0,
    "estimated_cost": 0.5,
}
EVALUATION: dict[str, object] = {
    "examples": 4,
    "base": {"loss": 3.0, "exact_match": 0.0},
    "tuned": {"loss": 0.5, "exact_match": 0.75},
    "general_base": 20.0,
    "general_tuned": 22.0,
    "passed": True,
    "reasons": ["held: loss must be better than the base's: 3 -> 0.5"],
}
LINEAGE: dict[str, object] = {
    "job": JOB_ID,
    "base": "tiny-135m",
    "base_revision": "abc123",
    "training_sha256": "0" * 64,
    "validation_sha256": None,
    "code_version": "0.1.0",
    "method": "supervised",
    "hyperparameters": {"epochs": 4},
    "plan": PLAN,
    "seed": 7,
    "evaluation": EVALUATION,
    "trained_tokens": 4400,
    "training_seconds": 80.5,
    "created_at": "2026-09-21T14:13:20Z",
}


def file_body(name: str = "tickets.jsonl", **fields: object) -> dict[str, object]:
    return {
        "id": FILE_ID,
        "object": "file",
        "bytes": 4096,
        "created_at": CREATED,
        "expires_at": None,
        "filename": name,
        "purpose": "fine-tune",
        "status": "processed",
        "status_details": None,
        "bestiary": REPORT,
        **fields,
    }


def job_body(status: str = "running", step: int = 10, **fields: object) -> dict[str, object]:
    ended = status in ("succeeded", "failed", "cancelled")
    succeeded = status == "succeeded"
    progress = {"completed_steps": step, "total_steps": 20, "percent": 5.0 * step}
    hyperparameters = {"n_epochs": 4, "batch_size": 8, "learning_rate_multiplier": "auto"}
    return {
        "id": JOB_ID,
        "object": "fine_tuning.job",
        "created_at": CREATED,
        "error": None,
        "fine_tuned_model": MODEL_ID if succeeded else None,
        "finished_at": CREATED + 90 if ended else None,
        "hyperparameters": hyperparameters,
        "model": "tiny-135m",
        "organization_id": "bestiary",
        "result_files": ["file-results"] if succeeded else [],
        "seed": 7,
        "status": status,
        "trained_tokens": 4400 if ended else None,
        "training_file": FILE_ID,
        "validation_file": None,
        "estimated_finish": None if ended else CREATED + 90,
        "integrations": [],
        "metadata": {"team": "support"},
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        "bestiary": {
            "method": "supervised",
            "suffix": "tickets",
            "hyperparameters": {"epochs": 4},
            "gate": {},
            "plan": PLAN,
            "progress": progress,
            "evaluation": EVALUATION if succeeded else None,
            "attempt": 1,
            "started_at": CREATED + 1,
        },
        **fields,
    }


def step_event(step: int, **values: float) -> dict[str, object]:
    data = {"step": step, "train_loss": 3.0 / step, "learning_rate": 1e-4, **values}
    return _event(f"ftevent-step-{step}", step, "metrics", f"step {step}", data)


def message_event(number: int, message: str, level: str = "info") -> dict[str, object]:
    return {**_event(f"ftevent-message-{number}", number, "message", message, None), "level": level}


def page(*data: dict[str, object], has_more: bool = False) -> Reply:
    ids = [str(one.get("id")) for one in data]
    ends = {"first_id": ids[0], "last_id": ids[-1]} if ids else {}
    return Reply(body={"object": "list", "data": list(data), "has_more": has_more, **ends})


def checkpoint_body(step: int = 10) -> dict[str, object]:
    return {
        "id": f"ftckpt-{step}",
        "object": "fine_tuning.job.checkpoint",
        "created_at": CREATED + step,
        "fine_tuned_model_checkpoint": f"ftckpt-{step}",
        "fine_tuning_job_id": JOB_ID,
        "metrics": {"step": step, "train_loss": 0.9, "valid_loss": 1.1},
        "step_number": step,
    }


METRICS: dict[str, object] = {
    "object": "list",
    "job": JOB_ID,
    "data": [
        {"step": 1, "train_loss": 3.0},
        {"step": 2, "train_loss": 1.5, "valid_loss": 1.25},
        {"step": 3, "train_loss": 1.0},
    ],
    "has_more": False,
}
ESTIMATE: dict[str, object] = {
    "object": "tuning.estimate",
    "model": "tiny-135m",
    "method": "supervised",
    "plan": PLAN,
    "training": REPORT,
    "validation": None,
    "warnings": ["4 held-out examples say little"],
}
MODEL: dict[str, object] = {
    "id": MODEL_ID,
    "object": "tuning.model",
    "created_at": CREATED,
    "base": "tiny-135m",
    "kind": "adapter",
    "min_replicas": 1,
    "lineage": LINEAGE,
    "card": {},
}
RULES: dict[str, object] = {
    "weights": [0.05, 0.25, 1.0],
    "min_requests": 50,
    "min_step_s": 60.0,
    "max_error_increase": 0.02,
    "max_latency_ratio": 1.5,
    "metric": None,
    "automatic": True,
}


def canary_body(**fields: object) -> dict[str, object]:
    counts = {"requests": 40, "errors": 1, "first_token_s": 4.0, "timed": 40}
    figures = {"error_rate": 0.025, "mean_first_token_s": 0.1}
    return {
        "object": "tuning.canary",
        "alias": "support",
        "base": "otter",
        "candidate": MODEL_ID,
        "weight": 0.25,
        "state": "running",
        "rules": RULES,
        "step": 1,
        "step_began_at": "2026-09-21T14:13:20Z",
        "reason": "step 0 held",
        "created_at": "2026-09-21T14:13:20Z",
        "updated_at": "2026-09-21T14:15:20+00:00",
        "base_counts": {**counts, **figures},
        "candidate_counts": {**counts, "timed": 0, "mean_first_token_s": None, "error_rate": 0.0},
        **fields,
    }


def _event(
    event_id: str, second: int, kind: str, message: str, data: dict[str, object] | None
) -> dict[str, object]:
    return {
        "id": event_id,
        "object": "fine_tuning.job.event",
        "created_at": CREATED + second,
        "level": "info",
        "type": kind,
        "message": message,
        "data": data,
    }
