"""What is tuned and how: a job's spec, the plan that is made of it, what came out.

All values are frozen and go to the database as JSON; `bestiary/state` keeps them.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bestiary.garden.card import Family
from bestiary.schemas.base import Frozen

MAX_SUFFIX = 64  # characters, as OpenAI
MAX_METADATA = 16


class JobStatus(StrEnum):
    """queued -> running -> succeeded | failed | cancelled; paused on the way, then queued again."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)


class Method(StrEnum):
    """What a job does; each works on base models of one family."""

    SUPERVISED = "supervised"  # text: completions of prompts or conversations
    DPO = "dpo"  # text: preferred over rejected answers, arXiv:2305.18290
    CONTINUED_PRETRAINING = "continued_pretraining"  # text: plain text
    DISTILLATION = "distillation"  # text: a bigger model's answers, or its logits
    CLASSIFICATION = "classification"  # encoder: a label for a text
    TOKEN_CLASSIFICATION = "token_classification"  # noqa: S105  encoder: a tag for each word
    EMBEDDING = "embedding"  # encoder: pairs or triplets
    SEQUENCE_TO_SEQUENCE = "sequence_to_sequence"  # seq2seq: sources and targets
    TEXT_TO_IMAGE = "text_to_image"  # image: pictures with captions

    @property
    def family(self) -> Family:
        return _FAMILIES[self]


_FAMILIES = {
    Method.SUPERVISED: Family.TEXT,
    Method.DPO: Family.TEXT,
    Method.CONTINUED_PRETRAINING: Family.TEXT,
    Method.DISTILLATION: Family.TEXT,
    Method.CLASSIFICATION: Family.ENCODER,
    Method.TOKEN_CLASSIFICATION: Family.ENCODER,
    Method.EMBEDDING: Family.ENCODER,
    Method.SEQUENCE_TO_SEQUENCE: Family.SEQ2SEQ,
    Method.TEXT_TO_IMAGE: Family.IMAGE,
}


class DataFormat(StrEnum):
    """What the lines of a training file are; found out on upload."""

    CHAT = "chat"  # {"messages": [{"role", "content"}, ...]}
    COMPLETION = "completion"  # {"prompt", "completion"}
    PREFERENCE = "preference"  # OpenAI's, or {"prompt", "chosen", "rejected"}
    TEXT = "text"  # {"text"}, or a .txt file: paragraphs
    LABELLED_TEXT = "labelled_text"  # {"text", "label"}
    TAGGED_TOKENS = "tagged_tokens"  # {"tokens": [...], "tags": [...]}
    TEXT_PAIRS = "text_pairs"  # {"anchor", "positive"} and perhaps "negative"
    TRANSLATION = "translation"  # {"source", "target"} and perhaps languages
    CAPTIONED_IMAGES = "captioned_images"  # a zip of pictures with captions


FORMATS: dict[Method, tuple[DataFormat, ...]] = {
    Method.SUPERVISED: (DataFormat.CHAT, DataFormat.COMPLETION),
    Method.DPO: (DataFormat.PREFERENCE,),
    Method.CONTINUED_PRETRAINING: (DataFormat.TEXT,),
    Method.DISTILLATION: (DataFormat.CHAT, DataFormat.COMPLETION, DataFormat.TEXT),
    Method.CLASSIFICATION: (DataFormat.LABELLED_TEXT,),
    Method.TOKEN_CLASSIFICATION: (DataFormat.TAGGED_TOKENS,),
    Method.EMBEDDING: (DataFormat.TEXT_PAIRS,),
    Method.SEQUENCE_TO_SEQUENCE: (DataFormat.TRANSLATION, DataFormat.COMPLETION),
    Method.TEXT_TO_IMAGE: (DataFormat.CAPTIONED_IMAGES,),
}


class Lora(Frozen):
    """Low-rank adaptation, arXiv:2106.09685, by peft."""

    rank: Annotated[int, Field(ge=1, le=256)] = 16
    alpha: Annotated[float, Field(gt=0)] = 32.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    targets: tuple[str, ...] = ()  # module names; none: all linear layers that replicas can adapt


class Hyperparameters(Frozen):
    """None: chosen for the data and the model (`services/tuning/planning.py`)."""

    epochs: Annotated[int, Field(ge=1, le=1000)] | None = None
    steps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None  # over epochs
    batch_size: Annotated[int, Field(ge=1, le=4096)] | None = None  # examples a step
    micro_batch_size: Annotated[int, Field(ge=1, le=512)] | None = None  # at once in memory
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    learning_rate_multiplier: Annotated[float, Field(gt=0, le=100)] | None = None
    warmup_ratio: Annotated[float, Field(ge=0, le=1)] = 0.05  # share of the steps
    cooldown_ratio: Annotated[float, Field(ge=0, le=1)] = 0.5  # share of the steps, down to 0
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    max_gradient_norm: Annotated[float, Field(gt=0)] = 1.0
    max_tokens: Annotated[int, Field(ge=8)] | None = None  # of one example; longer ones are cut
    packing: bool = True  # several examples in one row of tokens, none sees another
    full: bool = False  # all weights and no adapter
    lora: Lora = Lora()
    beta: Annotated[float, Field(gt=0, le=10)] = 0.1  # DPO: how near to the base it stays
    temperature: Annotated[float, Field(gt=0, le=10)] = 2.0  # distillation by logits
    logits_share: Annotated[float, Field(ge=0, le=1)] = 0.5  # distillation: of the loss
    patience: Annotated[int, Field(ge=0)] = 0  # evaluations without a better loss; 0: never ends
    evaluate_every: Annotated[int, Field(ge=1)] | None = None  # steps
    checkpoint_every: Annotated[int, Field(ge=1)] | None = None  # steps
    held_out_share: Annotated[float, Field(gt=0, lt=1)] = 0.1  # where no validation file is given


class Gate(Frozen):
    """What a tuned model must show on held-out data before it is published.

    Names of metrics are those of the job's evaluation; more is better, but for `loss` and
    `perplexity`. Empty: anything passes.
    """

    at_least: dict[str, float] = {}  # metric -> the tuned model's least
    at_most: dict[str, float] = {}  # metric -> the tuned model's most
    improves: tuple[str, ...] = ("loss",)  # the tuned model is better than the base
    max_forgetting: Annotated[float, Field(ge=1)] | None = 2.0  # general perplexity, tuned / base


class JobSpec(Frozen):
    """What was asked for."""

    base: str  # card id
    method: Method
    training_file: str
    validation_file: str | None = None
    hyperparameters: Hyperparameters = Hyperparameters()
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    suffix: Annotated[
        str, Field(max_length=MAX_SUFFIX, pattern=r"^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$")
    ] = "tuned"
    gate: Gate = Gate()
    publish: bool = True
    teacher: str | None = None  # distillation: card id of the bigger model
    teaches_by: Literal["answers", "logits"] = "answers"
    priority: Annotated[int, Field(ge=-100, le=100)] = 0  # higher first
    min_replicas: Annotated[int, Field(ge=0, le=64)] = 0  # of the published model
    workers: Annotated[int, Field(ge=1, le=64)] = 1  # processes that train together
    metadata: Annotated[dict[str, str], Field(max_length=MAX_METADATA)] = {}

    @model_validator(mode="after")
    def _teacher_of_a_distillation(self) -> JobSpec:
        if (self.teacher is not None) != (self.method is Method.DISTILLATION):
            raise ValueError("distillation names its teacher, and no other method does")
        return self


class TrainingPlan(Frozen):
    """The spec's hyperparameters with every choice made; what a trainer follows."""

    steps: Annotated[int, Field(ge=1)]
    epochs: float
    batch_size: Annotated[int, Field(ge=1)]  # examples a step
    micro_batch_size: Annotated[int, Field(ge=1)]
    learning_rate: float
    warmup_steps: int
    max_tokens: int
    evaluate_every: int
    checkpoint_every: int
    training_examples: int
    held_out_examples: int
    training_tokens: int  # of one epoch; pixels / 32 for pictures
    estimated_seconds: float  # on this machine, by a rule of thumb
    estimated_cost: float = 0.0  # by the profile's price per CPU hour

    @property
    def accumulate(self) -> int:
        return max(1, self.batch_size // self.micro_batch_size)


class LengthBin(Frozen):
    up_to: int  # tokens (characters, before a tokenizer is known)
    examples: int


class Problem(Frozen):
    """Why a line of a file cannot be trained on."""

    line: int  # from 1; 0: the file as a whole
    reason: str


class DataReport(Frozen):
    """What is in a training file."""

    format: DataFormat
    examples: int
    characters: int
    tokens: int | None = None  # None: counted without a tokenizer
    duplicates: int = 0  # examples that are exactly as an earlier one
    overlap: int | None = None  # of the validation file: examples that are in the training file
    lengths: tuple[LengthBin, ...] = ()
    labels: dict[str, int] = {}  # classification: label -> examples
    warnings: tuple[str, ...] = ()


class Evaluation(Frozen):
    """The base model and the tuned one on the same held-out examples."""

    examples: int
    base: dict[str, float]
    tuned: dict[str, float]
    general_base: float | None = None  # perplexity on general text; None: not a text model
    general_tuned: float | None = None
    passed: bool = False
    reasons: tuple[str, ...] = ()  # one for each condition of the gate, held or not


class Lineage(Frozen):
    """Where a published model comes from."""

    job: str
    base: str
    base_revision: str
    training_sha256: str
    validation_sha256: str | None
    code_version: str
    method: Method
    hyperparameters: Hyperparameters
    plan: TrainingPlan
    seed: int
    evaluation: Evaluation | None
    trained_tokens: int
    training_seconds: float
    created_at: datetime


class JobError(Frozen):
    code: str
    message: str
    param: str | None = None


class Job(Frozen):
    """A tuning job as it is now."""

    id: str  # ftjob-...
    spec: JobSpec
    status: JobStatus
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int = 0  # how many trainers were started for it
    completed_steps: int = 0
    trained_tokens: int = 0
    plan: TrainingPlan | None = None
    evaluation: Evaluation | None = None
    fine_tuned_model: str | None = None
    result_files: tuple[str, ...] = ()
    error: JobError | None = None


class EventKind(StrEnum):
    MESSAGE = "message"
    METRICS = "metrics"


class EventLevel(StrEnum):
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class JobEvent(Frozen):
    id: str  # ftevent-...
    job: str
    created_at: datetime
    level: EventLevel
    kind: EventKind
    message: str
    data: dict[str, float | int | str | None] = {}


class JobCheckpoint(Frozen):
    """Of a step; a model only when it is published."""

    id: str  # ftckpt-...
    job: str
    step: int
    created_at: datetime
    metrics: dict[str, float] = {}


class PublishedKind(StrEnum):
    ADAPTER = "adapter"  # served by replicas of the base model, beside it
    MODEL = "model"  # whole weights, served by replicas of its own
