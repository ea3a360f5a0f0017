"""What callers get of tuning jobs and of tuned models. Plain frozen values; times are UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bestiary_client._errors import BestiaryError
from bestiary_client._file_results import DataReport

Metrics = Mapping[str, float]
_FINAL = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class TuningPlan:
    """The hyperparameters with every choice made."""

    steps: int
    epochs: float
    batch_size: int  # examples a step
    micro_batch_size: int  # at once in memory
    learning_rate: float
    warmup_steps: int
    max_tokens: int  # of one example; longer ones are cut
    evaluate_every: int  # steps
    checkpoint_every: int  # steps
    training_examples: int
    held_out_examples: int
    training_tokens: int  # of one epoch
    estimated_seconds: float
    estimated_cost: float  # in the profile's currency


@dataclass(frozen=True)
class TuningEstimate:
    """What a job would do, before there is one."""

    method: str
    plan: TuningPlan
    training: DataReport  # tokens counted with the base model's tokenizer
    validation: DataReport | None = None  # None: held out of the training file
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class TuningProgress:
    completed_steps: int
    total_steps: int | None  # None: not planned yet
    percent: float


@dataclass(frozen=True)
class TuningEvaluation:
    """The base model and the tuned one on the same held-out examples, and what the gate said."""

    examples: int
    base: Metrics
    tuned: Metrics
    general_base: float | None  # perplexity on general text; None: not a text model
    general_tuned: float | None
    passed: bool
    reasons: tuple[str, ...]  # one for each condition of the gate, held or not


@dataclass(frozen=True)
class JobFailure:
    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True)
class TuningJob:
    """A job as it was when it was asked for."""

    id: str  # "ftjob-..."
    base: str
    method: str
    status: str  # "queued", "running", "paused", "succeeded", "failed" or "cancelled"
    created_at: datetime
    training_file: str
    validation_file: str | None
    seed: int
    suffix: str | None = None  # of the tuned model's name
    started_at: datetime | None = None
    finished_at: datetime | None = None
    estimated_finish: datetime | None = None
    tuned_model: str | None = None  # what to ask for, once it is published
    trained_tokens: int | None = None
    result_files: tuple[str, ...] = ()
    hyperparameters: Mapping[str, object] = field(default_factory=dict)  # as they were asked for
    metadata: Mapping[str, str] = field(default_factory=dict)
    plan: TuningPlan | None = None
    progress: TuningProgress | None = None
    evaluation: TuningEvaluation | None = None
    attempt: int = 0  # how many trainers were started for it
    failure: JobFailure | None = None

    @property
    def final(self) -> bool:
        """Nothing more will happen to it."""
        return self.status in _FINAL

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"


@dataclass(frozen=True)
class JobEvent:
    id: str
    created_at: datetime
    level: str  # "info", "warn" or "error"
    type: str  # "message", or "metrics" of one step
    message: str
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class JobCheckpoint:
    """Training state at a step; a model only once it is published."""

    id: str
    job: str
    step: int
    created_at: datetime
    metrics: Metrics
    model: str | None = None


@dataclass(frozen=True)
class JobNews:
    """One look at a job: how it stands, and what happened since the look before.

    `lost`: why the platform did not answer; `job` is then as it was last known.
    """

    job: TuningJob
    events: tuple[JobEvent, ...] = ()  # oldest first
    lost: BestiaryError | None = None


@dataclass(frozen=True)
class StepMetrics:
    """What was measured at a step: `loss`, `learning_rate`, and now and then held-out figures."""

    step: int
    values: Metrics

    def get(self, name: str) -> float | None:
        return self.values.get(name)


@dataclass(frozen=True)
class ModelLineage:
    """Where a tuned model comes from."""

    job: str
    base: str
    base_revision: str
    training_sha256: str
    validation_sha256: str | None
    code_version: str
    method: str
    seed: int
    trained_tokens: int
    training_seconds: float
    created_at: datetime
    hyperparameters: Mapping[str, object] = field(default_factory=dict)
    plan: TuningPlan | None = None
    evaluation: TuningEvaluation | None = None


@dataclass(frozen=True)
class TunedModel:
    """A tuned model that is served under its id."""

    id: str  # "ft:<base>:<suffix>:<id>"
    base: str
    kind: str  # "adapter", beside its base model, or "model", with weights of its own
    created_at: datetime
    lineage: ModelLineage
    min_replicas: int = 0
