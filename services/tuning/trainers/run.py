"""One attempt at one job, from its files to a published model. Every part may be done again.

A trainer that is killed anywhere in here leaves a job that the next attempt finishes: what was
computed is found in the job's folder, what was told in the database, and both are whole.
Of several processes that share an attempt the first one tells, evaluates and publishes.
Knows neither Ray nor which method it is.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bestiary.errors import BestiaryError, InvalidRequest, Superseded
from bestiary.garden import Garden, InstalledModel
from bestiary.garden.durable import write_durably
from bestiary.profile.models import Profile
from bestiary.schemas.tuning import (
    Evaluation,
    EventLevel,
    Job,
    JobError,
    TrainingPlan,
)
from bestiary.state.database import Database
from bestiary.state.files import Files
from bestiary.state.published_models import PublishedModels
from bestiary.state.tuning_jobs import TuningJobs
from services.tuning.data.examples import Example
from services.tuning.data.reading import read_examples
from services.tuning.data.splitting import split
from services.tuning.gate import judged
from services.tuning.publishing import Publisher
from services.tuning.results import results_csv
from services.tuning.trainers.progress import TELL_EVERY_S, JobReporter, JobWatcher
from services.tuning.trainers.registry import opener_of
from services.tuning.trainers.tuner import Assignment, Tuner, nobody
from training.loop import Plan, State, train
from training.share import ALONE, Parted, Share
from training.watching import Unwatched, Watcher

BASE_EVALUATION = "base_evaluation.json"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workshop:
    """Where jobs are done: the state, the garden and the folders of one home."""

    home: Path
    profile: Profile
    jobs: TuningJobs
    files: Files
    models: PublishedModels

    @classmethod
    def at(cls, home: Path, profile: Profile, database: Database) -> Workshop:
        files = Files(database, home / "blobs" / "files")
        return cls(home, profile, TuningJobs(database), files, PublishedModels(database))

    def folder(self, job: str) -> Path:
        return self.home / "tuning" / job


def run_attempt(
    workshop: Workshop,
    job_id: str,
    attempt: int,
    *,
    share: Share = ALONE,
    tell_every_s: float = TELL_EVERY_S,
) -> bool:
    """Ends with the job succeeded, failed, paused, or somebody else's. Never raises.

    False: it broke off, and processes that share the attempt may still wait for this one. Where
    it was one of them that broke off, this one says nothing, and the job is still running.
    """
    reporter = JobReporter(workshop.jobs, job_id, attempt)
    try:
        job = workshop.jobs.get(job_id)
        one = _Attempt(workshop, job, reporter, share, tell_every_s)
        if share.rank == 0:
            one.run()
        else:
            one.help()
    except (Superseded, Parted) as error:
        _logger.info("%s: %s", job_id, error)
    except BestiaryError as error:
        _fail(reporter, error)
    except FloatingPointError as error:
        _fail(reporter, InvalidRequest(str(error), "learning_rate"))
    except Exception as error:  # the process's edge: the job must say why it ended
        _logger.exception("%s failed", job_id)
        _fail(reporter, BestiaryError(f"the trainer failed: {type(error).__name__}: {error}"))
    else:
        return True
    return False


def _fail(reporter: JobReporter, error: BestiaryError) -> None:
    param = error.param if isinstance(error, InvalidRequest) else None
    try:
        reporter.failed(JobError(code=error.code, message=str(error), param=param))
    except Superseded:
        _logger.info("nobody waits for it any more: %s", error)


class _Attempt:
    """What one process does of it: `run` by the first of those that share it, `help` by others."""

    def __init__(
        self,
        workshop: Workshop,
        job: Job,
        reporter: JobReporter,
        share: Share,
        tell_every_s: float,
    ) -> None:
        if job.plan is None:
            raise InvalidRequest(f"job {job.id} has no plan", "training_file")
        self._workshop = workshop
        self._job = job
        self._plan: TrainingPlan = job.plan
        self._reporter = reporter
        self._trainer = workshop.profile.trainer
        self._share = share
        self._tell_every_s = tell_every_s
        self._folder = workshop.folder(job.id)
        self._garden = Garden(workshop.home)

    def run(self) -> None:
        began = time.monotonic()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._reporter.told(f"opening {self._job.spec.base} and the training data")
        assignment = self._assignment()
        tuner = opener_of(self._job.spec.method)(assignment)
        before = self._of_the_base(tuner)
        self._share.agree(None)  # what is computed once is there; see `help`
        self._reporter.told(
            f"training: {self._plan.steps} steps of {self._plan.batch_size} examples"
        )
        tokens = _Tokens(tuner, self._plan.accumulate)
        state = self._train(tuner, JobWatcher(self._reporter, tokens.until, self._tell_every_s))
        if state.step < self._plan.steps and not state.ended_early(self._patience):
            _logger.info("%s: stopped after step %d, with a checkpoint", self._job.id, state.step)
            return
        evaluation = self._evaluate(tuner, before, len(assignment.held_out))
        seconds = state.cpu_s or (time.monotonic() - began)
        model = self._publish(tuner, assignment.model, evaluation, seconds)
        self._finish(evaluation, model)

    def help(self) -> None:
        """Trains, after the first process has what is made once: downloads, a teacher's answers."""
        self._share.agree(None)
        tuner = opener_of(self._job.spec.method)(self._assignment())
        self._train(tuner, Unwatched())

    @property
    def _patience(self) -> int:
        return self._job.spec.hyperparameters.patience

    @property
    def _device(self) -> str:
        return "cuda" if self._trainer.gpus else "cpu"

    def _assignment(self) -> Assignment:
        spec = self._job.spec
        base = self._garden.install(spec.base)
        training, held_out = self._examples()
        teacher = None if spec.teacher is None else self._garden.install(spec.teacher)
        reader = None if base.card.image is None else base.card.image.text_encoder
        return Assignment(
            spec=spec,
            plan=self._plan,
            model=base,
            teacher=teacher,
            beside={} if reader is None else {reader: self._garden.install(reader)},
            training=training,
            held_out=held_out,
            folder=self._folder,
            threads=self._trainer.threads,
            device=self._device,
            tell=self._reporter.told if self._share.rank == 0 else nobody,
        )

    def _examples(self) -> tuple[list[Example], list[Example]]:
        spec = self._job.spec
        training = self._read(spec.training_file)
        if spec.validation_file is not None:
            return training, self._read(spec.validation_file)
        first, second = split(training, spec.hyperparameters.held_out_share, spec.seed)
        return list(first), list(second)

    def _read(self, file_id: str) -> list[Example]:
        stored = self._workshop.files.get(file_id)
        known = None if stored.report is None else stored.report.format
        return list(read_examples(self._workshop.files.path(file_id), stored.filename, known))

    def _of_the_base(self, tuner: Tuner) -> Mapping[str, Mapping[str, float]]:
        """Measured once for a job; `general` has nothing where the model is not one of text."""
        path = self._folder / BASE_EVALUATION
        if not path.exists():
            self._reporter.told("evaluating the base model")
            with tuner.as_base():
                held_out = dict(tuner.evaluate())
                general = tuner.general()
            found = {"held_out": held_out, "general": _named(general)}
            write_durably(path, json.dumps(found).encode())
        read: Mapping[str, Mapping[str, float]] = json.loads(path.read_bytes())
        return read

    def _train(self, tuner: Tuner, watcher: Watcher) -> State:
        hyperparameters, plan = self._job.spec.hyperparameters, self._plan
        return train(
            tuner.trainee,
            Plan(
                steps=plan.steps,
                learning_rate=plan.learning_rate,
                warmup=plan.warmup_steps,
                seed=self._job.spec.seed,
                cooldown=hyperparameters.cooldown_ratio,
                weight_decay=hyperparameters.weight_decay,
                clip=hyperparameters.max_gradient_norm,
                measure_every=plan.evaluate_every,
                checkpoint_every=plan.checkpoint_every,
                threads=self._trainer.threads,
                accumulate=plan.accumulate,
                patience=hyperparameters.patience,
            ),
            self._folder,
            resume=True,
            watcher=watcher,
            share=self._share,
        )

    def _evaluate(
        self, tuner: Tuner, before: Mapping[str, Mapping[str, float]], examples: int
    ) -> Evaluation:
        self._reporter.told("evaluating the tuned model")
        evaluation = judged(
            self._job.spec.gate,
            examples=examples,
            base=before["held_out"],
            tuned=tuner.evaluate(),
            general_base=before["general"].get("perplexity"),
            general_tuned=tuner.general(),
        )
        self._reporter.evaluated(evaluation)
        for reason in evaluation.reasons:
            self._reporter.told(f"gate: {reason}")
        return evaluation

    def _publish(
        self, tuner: Tuner, base: InstalledModel, evaluation: Evaluation, seconds: float
    ) -> str | None:
        """The published model's id; None where it is not to be."""
        if not (self._job.spec.publish and evaluation.passed):
            return None
        self._reporter.told("publishing")
        publisher = Publisher(self._workshop.home, self._workshop.profile, self._workshop.models)
        partial = self._folder / "saved"
        shutil.rmtree(partial, ignore_errors=True)
        tuner.save(partial)
        job = self._workshop.jobs.get(self._job.id)
        files = self._workshop.files
        published = publisher.publish(
            job, base, partial, tuner.kind, evaluation, training_seconds=seconds, files=files
        )
        return published.id

    def _finish(self, evaluation: Evaluation, model: str | None) -> None:
        job = self._job
        result = results_csv(self._workshop.jobs, self._workshop.files, job.id)
        if model is not None:
            message = f"published as {model}"
        elif not evaluation.passed:
            message = "not published: the gate did not pass"
            self._reporter.told(message, EventLevel.WARN)
        else:
            message = "done; publishing was not asked for"
        self._reporter.succeeded(model, (result,), message)


class _Tokens:
    """How many were learned from, up to a step; each batch is counted once."""

    def __init__(self, tuner: Tuner, accumulate: int) -> None:
        self._tuner = tuner
        self._accumulate = accumulate
        self._sums = [0]

    def until(self, step: int) -> int:
        while len(self._sums) <= step:
            first = (len(self._sums) - 1) * self._accumulate
            batches = range(first, first + self._accumulate)
            self._sums.append(self._sums[-1] + sum(map(self._tuner.tokens_in, batches)))
        return self._sums[step]


def _named(perplexity: float | None) -> dict[str, float]:
    return {} if perplexity is None else {"perplexity": perplexity}
