"""What callers say -> the wire of tuning jobs: OpenAI's, with a field `bestiary` of its own. Pure.

What each model can be tuned by, and which values make sense, the platform says.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from typing_extensions import TypedDict

from bestiary_client._file_results import StoredFile
from bestiary_client._json import JsonObject
from bestiary_client._requests import Call, refuse_unknown
from bestiary_client._timeouts import Timeout
from bestiary_client._tuning_results import TunedModel, TuningJob
from bestiary_client._uploads import FileInput

JOBS = "/v1/fine_tuning/jobs"
TUNING = "/v1/tuning"
MODELS = "/v1/tuning/models"
POLL_TIMEOUT_S = 30.0  # one look at a job; the next look comes soon anyway

TuningMethod = Literal[
    "supervised",
    "dpo",
    "continued_pretraining",
    "distillation",
    "classification",
    "token_classification",
    "embedding",
    "sequence_to_sequence",
    "text_to_image",
]


@dataclass(frozen=True)
class Gate:
    """What a tuned model must show on held-out data before it is published.

    Names are those of the evaluation's metrics; more is better, but for `loss` and
    `perplexity`. `max_forgetting` bounds the perplexity on general text, tuned over base.
    """

    at_least: Mapping[str, float] = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)
    improves: Sequence[str] = ("loss",)  # over the base
    max_forgetting: float | None = 2.0  # None: any


class HyperparameterOptions(TypedDict, total=False):
    """What is left out (or None) is chosen for the data and the model."""

    epochs: int | None
    steps: int | None  # over epochs
    batch_size: int | None  # examples a step
    micro_batch_size: int | None  # at once in memory
    learning_rate: float | None
    learning_rate_multiplier: float | None  # of the chosen one
    warmup_ratio: float | None  # share of the steps
    cooldown_ratio: float | None  # share of the steps
    weight_decay: float | None
    max_gradient_norm: float | None
    max_tokens: int | None  # of one example; longer ones are cut
    packing: bool | None  # several examples in one row
    full: bool | None  # all weights and no adapter
    rank: int | None  # of the adapter
    alpha: float | None
    dropout: float | None
    targets: Sequence[str] | None  # module names
    beta: float | None  # DPO: how near to the base it stays
    temperature: float | None  # distillation by logits
    logits_share: float | None  # distillation by logits: of the loss
    patience: int | None  # evaluations without a better loss; 0: never ends early
    evaluate_every: int | None  # steps
    checkpoint_every: int | None  # steps
    held_out_share: float | None  # where no validation file is given


class TuningOptions(HyperparameterOptions, total=False):
    """Of a job. Default method: the one that fits the base and the file."""

    method: TuningMethod | None
    validation_file: FileInput | StoredFile | None  # an id, or what `files.upload` takes
    suffix: str | None  # part of the tuned model's name
    seed: int | None
    gate: Gate | None
    publish: bool | None  # False: no model is served, whatever the gate says
    teacher: str | None  # distillation: the bigger model
    teaches_by: Literal["answers", "logits"] | None
    priority: int | None  # higher first, -100..100
    workers: int | None  # processes that train together
    min_replicas: int | None  # of the tuned model
    metadata: Mapping[str, str] | None
    timeout: float | Timeout | None


_LORA = ("rank", "alpha", "dropout", "targets")
_OF_OPENAI = ("suffix", "seed", "metadata")
_OF_OURS = (
    "method",
    "publish",
    "teacher",
    "teaches_by",
    "priority",
    "workers",
    "min_replicas",
)


def create_call(
    base: str,
    training_file: str,
    validation_file: str | None,
    options: TuningOptions,
    idempotency_key: str | None,
) -> Call:
    """The key makes the call safe to repeat: the same key gives the same job."""
    return Call(
        "POST",
        JOBS,
        _job_body(base, training_file, validation_file, options),
        headers={"idempotency-key": idempotency_key or uuid.uuid4().hex},
        timeout=options.get("timeout"),
    )


def estimate_call(
    base: str, training_file: str, validation_file: str | None, options: TuningOptions
) -> Call:
    body = _job_body(base, training_file, validation_file, options)
    return Call("POST", f"{TUNING}/estimate", body, timeout=options.get("timeout"))


def check_options(options: TuningOptions) -> None:
    """Before anything is uploaded. Raises TypeError for an option that there is none of."""
    refuse_unknown(options, TuningOptions)


def list_call(metadata: Mapping[str, str] | None, limit: int | None) -> Call:
    params = {f"metadata[{name}]": value for name, value in (metadata or {}).items()}
    if limit is not None:
        params["limit"] = str(limit)
    return Call("GET", JOBS, params=params)


def job_call(method: Literal["GET", "POST"], job: str | TuningJob, what: str = "") -> Call:
    return Call(method, f"{JOBS}/{quote(job_id(job), safe='')}{what}")


def look_call(job: str | TuningJob) -> Call:
    call = job_call("GET", job)
    return Call(call.method, call.path, timeout=POLL_TIMEOUT_S)


def events_call(job: str | TuningJob, limit: int, timeout: float | None = None) -> Call:
    """Newest first."""
    call = job_call("GET", job, "/events")
    return Call(call.method, call.path, params={"limit": str(limit)}, timeout=timeout)


def extra_call(job: str | TuningJob, what: str) -> Call:
    """Of what OpenAI's API has not: metrics, the curve."""
    return Call("GET", f"{TUNING}/jobs/{quote(job_id(job), safe='')}/{what}")


def model_call(model: str | TunedModel) -> Call:
    return Call("GET", f"{MODELS}/{quote(_model_id(model), safe='')}")


def delete_model_call(model: str | TunedModel) -> Call:
    return Call("DELETE", f"/v1/models/{quote(_model_id(model), safe='')}")


def job_id(job: str | TuningJob) -> str:
    return job.id if isinstance(job, TuningJob) else job


def id_in(given: FileInput) -> str | None:
    """None: it has to be uploaded first. A path that looks like an id is a path where it exists."""
    is_id = isinstance(given, str) and given.startswith("file-") and not Path(given).exists()
    return str(given) if is_id else None


def _model_id(model: str | TunedModel) -> str:
    return model.id if isinstance(model, TunedModel) else model


def _job_body(
    base: str, training_file: str, validation_file: str | None, options: TuningOptions
) -> JsonObject:
    chosen = {name: value for name, value in options.items() if value is not None}
    own = {name: chosen[name] for name in _OF_OURS if name in chosen}
    gate = options.get("gate")
    if gate is not None:
        own["gate"] = {**asdict(gate), "improves": list(gate.improves)}
    hyperparameters = _hyperparameters(chosen)
    if hyperparameters:
        own["hyperparameters"] = hyperparameters
    body: JsonObject = {"model": base, "training_file": training_file}
    if validation_file is not None:
        body["validation_file"] = validation_file
    body.update({name: chosen[name] for name in _OF_OPENAI if name in chosen})
    if own:
        body["bestiary"] = own
    return body


def _hyperparameters(chosen: JsonObject) -> JsonObject:
    lora = {name: _listed(chosen[name]) for name in _LORA if name in chosen}
    flat = HyperparameterOptions.__annotations__.keys() - set(_LORA)
    found = {name: value for name, value in chosen.items() if name in flat}
    return {**found, "lora": lora} if lora else found


def _listed(value: object) -> object:
    return value if isinstance(value, int | float) else list(value)  # type: ignore[call-overload]
