"""OpenAI's fine-tuning jobs on the wire: what callers send.

https://platform.openai.com/docs/api-reference/fine-tuning. The newer `method` and the older
`hyperparameters` may say the same things; what OpenAI has no word for is in the field `bestiary`.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bestiary.errors import InvalidRequest, UnsupportedParameter
from bestiary.schemas.tuning import (
    MAX_METADATA,
    Gate,
    Hyperparameters,
    JobSpec,
    Lora,
    Method,
)

MAX_JOBS_OF_A_PAGE = 100
MAX_EVENTS_OF_A_PAGE = 1000
UNSUPPORTED_JOB: Mapping[str, Container[object]] = {"integrations": ([],)}
_OURS = {"n_epochs": "epochs"}  # OpenAI's word -> ours, where they differ

Auto = Literal["auto"]
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=64)],
        Annotated[str, StringConstraints(max_length=512)],
    ],
    Field(max_length=MAX_METADATA),
]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OpenAIHyperparameters(_Wire):
    """ "auto" and null: chosen for the data and the model."""

    n_epochs: Auto | int | None = None
    batch_size: Auto | int | None = None
    learning_rate_multiplier: Auto | float | None = None

    def said(self) -> dict[str, float]:
        """By our names, without what is left open."""
        given = self.model_dump(exclude_none=True)
        return {_OURS.get(name, name): x for name, x in given.items() if x != "auto"}


class PreferenceHyperparameters(OpenAIHyperparameters):
    beta: Auto | float | None = None


class Supervised(_Wire):
    hyperparameters: OpenAIHyperparameters | None = None


class Preference(_Wire):
    hyperparameters: PreferenceHyperparameters | None = None


class OpenAIMethod(_Wire):
    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: Supervised | None = None
    dpo: Preference | None = None
    reinforcement: dict[str, object] | None = None

    def ours(self) -> Method:
        if self.type == "reinforcement" or self.reinforcement is not None:
            raise UnsupportedParameter(
                "reinforcement is not offered; there are supervised and dpo, and more in "
                "bestiary.method",
                "method.type",
            )
        for name in ("supervised", "dpo"):
            if name != self.type and getattr(self, name) is not None:
                raise InvalidRequest(f"method.type is {self.type}, not {name}", f"method.{name}")
        return Method(self.type)

    def said(self) -> dict[str, float]:
        chosen = self.dpo if self.type == "dpo" else self.supervised
        if chosen is None or chosen.hyperparameters is None:
            return {}
        return chosen.hyperparameters.said()


class Extension(_Wire):
    """Everything else that a job can be told. `method` None: it follows from model and file."""

    method: Method | None = None
    hyperparameters: Hyperparameters = Hyperparameters()
    lora: Lora | None = None
    gate: Gate = Gate()
    publish: bool = True
    teacher: str | None = None  # any name that can be asked for
    teaches_by: Literal["answers", "logits"] = "answers"
    priority: int = 0
    workers: int = 1
    min_replicas: int = 0


class FineTuningJob(_Wire):
    """The body of POST /v1/fine_tuning/jobs and of /v1/tuning/estimate."""

    model: str
    training_file: str
    validation_file: str | None = None
    method: OpenAIMethod | None = None
    hyperparameters: OpenAIHyperparameters | None = None
    suffix: str | None = None
    seed: int | None = None
    metadata: Metadata | None = None
    bestiary: Extension = Extension()

    def asked_method(self) -> Method | None:
        """None: it follows from the base model and the training file."""
        theirs = None if self.method is None else self.method.ours()
        ours = self.bestiary.method
        if theirs is not None and ours is not None and theirs is not ours:
            raise InvalidRequest(
                f"method.type is {theirs}, bestiary.method is {ours}", "bestiary.method"
            )
        return ours or theirs

    def spec(self, base: str, method: Method, teacher: str | None) -> JobSpec:
        """`base` and `teacher` are card ids. Raises pydantic's ValidationError."""
        extension = self.bestiary
        return JobSpec(
            base=base,
            method=method,
            training_file=self.training_file,
            validation_file=self.validation_file,
            hyperparameters=self._hyperparameters(),
            seed=self.seed or 0,
            suffix=self.suffix or JobSpec.model_fields["suffix"].default,
            gate=extension.gate,
            publish=extension.publish,
            teacher=teacher,
            teaches_by=extension.teaches_by,
            priority=extension.priority,
            min_replicas=extension.min_replicas,
            workers=extension.workers,
            metadata=self.metadata or {},
        )

    def public_names(self) -> dict[str, str]:
        """The spec's fields as the caller writes them."""
        in_extension = ("priority", "workers", "min_replicas", "gate", "teacher", "teaches_by")
        return {
            **{name: f"bestiary.{name}" for name in in_extension},
            "epochs": "hyperparameters.n_epochs",
            "batch_size": "hyperparameters.batch_size",
            "learning_rate_multiplier": "hyperparameters.learning_rate_multiplier",
            "beta": "method.dpo.hyperparameters.beta",
        }

    def _hyperparameters(self) -> Hyperparameters:
        """The three places that may tell them, as one; told twice they must agree."""
        extension = self.bestiary
        said = extension.hyperparameters.model_dump(exclude_unset=True)
        if extension.lora is not None:
            _add(said, {"lora": extension.lora.model_dump()})
        if self.hyperparameters is not None:
            _add(said, self.hyperparameters.said())
        if self.method is not None:
            _add(said, self.method.said())
        return Hyperparameters.model_validate(said)


def _add(said: dict[str, object], more: Mapping[str, object]) -> None:
    for name, value in more.items():
        if said.setdefault(name, value) != value:
            raise InvalidRequest(
                f"{name} is told twice: {said[name]} and {value}", f"hyperparameters.{name}"
            )
