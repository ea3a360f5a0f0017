"""Everything that a user does with tuning, as plain calls: files, jobs, models, canaries.

It asks and tells the stores; who trains is elsewhere (`controller.py`). All calls block. Knows no
HTTP: the gateway calls it in threads.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from bestiary.errors import InvalidRequest
from bestiary.garden import Garden
from bestiary.garden.card import Family, ModelCard
from bestiary.profile.models import Tuning
from bestiary.schemas.publishing import Canary, CanaryState
from bestiary.schemas.tuning import (
    FORMATS,
    DataFormat,
    DataReport,
    Job,
    JobSpec,
    Method,
    TrainingPlan,
)
from bestiary.state.canaries import Canaries
from bestiary.state.database import Database
from bestiary.state.files import Files, StoredFile
from bestiary.state.published_models import PublishedModels
from bestiary.state.tuning_jobs import TuningJobs
from services.tuning.curve import draw_curve, series_of
from services.tuning.measuring import Measured
from services.tuning.planning import Speed, plan_of
from services.tuning.training_data import TrainingData, report_of
from services.tuning.uploading import Upload


@dataclass(frozen=True)
class Estimate:
    """What a job would be, before it is one."""

    spec: JobSpec
    plan: TrainingPlan
    training: DataReport  # tokens are the base model's
    validation: DataReport | None  # None: held out of the training file

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should look at before the job starts."""
        both = (self.training, *(() if self.validation is None else (self.validation,)))
        return tuple(dict.fromkeys(one for report in both for one in report.warnings))


class TuningService:
    """`files`, `jobs`, `models` and `canaries` are the stores; the rest needs several of them.

    `folder` has the files' bytes, `garden` the models that can be tuned.
    """

    def __init__(self, database: Database, folder: Path, garden: Garden, settings: Tuning) -> None:
        self.files = Files(database, folder)
        self.jobs = TuningJobs(database)
        self.models = PublishedModels(database)
        self.canaries = Canaries(database)
        self.garden = garden
        self._settings = settings
        self._data = TrainingData(self.files, garden, settings)
        self._drawing = Lock()

    def upload(self) -> Upload:
        """A context manager; see there."""
        return Upload(self.files)

    def check(self, file: StoredFile) -> StoredFile:
        """See `TrainingData.check`: every upload goes through it."""
        return self._data.check(file)

    def method_for(self, base: ModelCard, training_file: str) -> Method:
        """What tunes this model on such a file. Raises NotFound, InvalidRequest."""
        report = report_of(self._data.trainable(training_file, "training_file"))
        return method_for(base.family, report.format, base.id)

    def estimate(self, spec: JobSpec, base: ModelCard) -> Estimate:
        """Reads the data through. Raises NotFound, InvalidRequest."""
        if spec.method.family is not base.family:
            raise InvalidRequest(
                f"{spec.method} tunes models of family {spec.method.family}; {base.id} is of "
                f"family {base.family}, which is tuned by {', '.join(methods_of(base.family))}",
                "bestiary.method",
            )
        data = self._data.measure(spec)
        speed = Speed(
            threads=self._settings.trainer.threads * spec.workers,
            price_per_cpu_hour=self._settings.price_per_cpu_hour,
        )
        plan = plan_of(spec, data.training, base, held_out=_held_out(spec, data), speed=speed)
        return Estimate(spec, plan, data.training, data.validation)

    def create(self, spec: JobSpec, base: ModelCard, *, key: str | None = None) -> Job:
        """The same `key` again gives the same job. Raises as `estimate`, and Conflict."""
        return self.jobs.create(spec, self.estimate(spec, base).plan, key=key)

    def curve(self, job_id: str) -> bytes:
        """A PNG. Raises NotFound."""
        job = self.jobs.get(job_id)
        series = series_of(self.jobs.metrics(job_id))
        with self._drawing:
            return draw_curve(job, series)

    def move_canary(
        self, alias: str, *, step: int | None = None, weight: float | None = None
    ) -> Canary:
        """To a step of its rules, or to any weight; it runs from there, also after its end.

        Raises NotFound, InvalidRequest.
        """
        weights = self.canaries.get(alias).rules.weights
        if step is not None and step >= len(weights):
            raise InvalidRequest(f"the rules have the steps 0 to {len(weights) - 1}", "step")
        if step is not None:
            weight = weights[step]
        elif weight is not None:
            step = max(0, bisect_right(weights, weight) - 1)
        else:
            raise InvalidRequest("give a step or a weight", "step")
        return self.canaries.move(
            alias, step=step, weight=weight, state=CanaryState.RUNNING, reason="moved by hand"
        )

    def promote(self, alias: str) -> Canary:
        """The candidate answers everything. Raises NotFound."""
        last = len(self.canaries.get(alias).rules.weights) - 1
        return self.canaries.move(
            alias, step=last, weight=1.0, state=CanaryState.PROMOTED, reason="promoted by hand"
        )

    def roll_back(self, alias: str) -> Canary:
        """The base answers everything. Raises NotFound."""
        step = self.canaries.get(alias).step
        return self.canaries.move(
            alias,
            step=step,
            weight=0.0,
            state=CanaryState.ROLLED_BACK,
            reason="moved back by hand",
        )


def method_for(family: Family, format: DataFormat, base: str) -> Method:
    """The method that follows from a base model's family and a file. Raises InvalidRequest."""
    # Distillation needs a teacher, so it does not follow from these two.
    able = [one for one in methods_of(family) if one is not Method.DISTILLATION]
    for method in able:
        if format in FORMATS[method]:
            return method
    formats = dict.fromkeys(one for method in able for one in FORMATS[method])
    raise InvalidRequest(
        f"{base} is of family {family}, which cannot be tuned on {format}; "
        f"it takes {', '.join(formats)}",
        "training_file",
    )


def _held_out(spec: JobSpec, data: Measured) -> int:
    """Examples. Those that are the same stay together, see `data/splitting.py`."""
    training, validation = data.training, data.validation
    if validation is not None:
        return validation.examples
    if training.examples - training.duplicates < 2:
        raise InvalidRequest(
            "all examples are the same one: nothing can be held out to measure on",
            "training_file",
        )
    return max(1, round(spec.hyperparameters.held_out_share * training.examples))


def methods_of(family: Family) -> tuple[Method, ...]:
    return tuple(method for method in Method if method.family is family)
