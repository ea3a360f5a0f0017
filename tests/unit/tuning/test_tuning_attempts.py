"""Attempts at a job, from its files to a published model; and what a kill at any moment leaves."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bestiary.errors import ModelNotFound
from bestiary.schemas.tuning import Gate, Job, JobStatus, PublishedKind
from bestiary.state.database import Database
from bestiary.state.tuning_jobs import StepMetrics, TuningJobs
from deployments.kernels.adapter_files import read_adapter
from services.tuning.publishing import model_id
from services.tuning.trainers.run import Workshop, run_attempt
from tests.unit.tuning.small_homes import home_with_base, running_job, training_file, workshop_in

CHECKOUT = Path(__file__).resolve().parents[3]


class Killed(BaseException):
    """As a kill, nobody handles it."""


class KilledJobs(TuningJobs):
    """The trainer dies right before it would have told something for the n-th time."""

    def __init__(self, database: Database, calls: int) -> None:
        super().__init__(database)
        self.calls = 0
        self._most = calls

    def _count(self) -> None:
        if self.calls >= self._most:
            raise Killed
        self.calls += 1

    def told(self, *arguments: object, **keywords: object) -> None:
        self._count()
        super().told(*arguments, **keywords)  # type: ignore[arg-type]

    def progressed(
        self,
        id: str,
        attempt: int,
        steps: Sequence[StepMetrics],
        *,
        saved: Mapping[str, float] | None = None,
    ) -> None:
        self._count()
        super().progressed(id, attempt, steps, saved=saved)

    def evaluated(self, *arguments: object) -> None:
        self._count()
        super().evaluated(*arguments)  # type: ignore[arg-type]

    def succeeded(self, *arguments: object, **keywords: object) -> Job:
        self._count()
        return super().succeeded(*arguments, **keywords)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    home = tmp_path_factory.mktemp("home")
    database = home_with_base(home)
    yield workshop_in(home, database)
    database.close()


@pytest.fixture(scope="module")
def file(workshop: Workshop) -> str:
    return training_file(workshop)


@pytest.fixture(scope="module")
def undisturbed(workshop: Workshop, file: str) -> tuple[Job, int]:
    """A job that nobody disturbed, and how often its trainer told something."""
    job = running_job(workshop.jobs, file)
    counting = KilledJobs(workshop.jobs._database, 1_000_000)
    run_attempt(replace(workshop, jobs=counting), job.id, 1)
    return workshop.jobs.get(job.id), counting.calls


@pytest.fixture
def whole(undisturbed: tuple[Job, int]) -> Job:
    return undisturbed[0]


def curve(workshop: Workshop, job: str) -> list[dict[str, object]]:
    return [dict(event.data) for event in workshop.jobs.metrics(job)]


def test_a_job_ends_with_a_model_that_replicas_can_read(workshop: Workshop, whole: Job) -> None:
    assert (whole.status, whole.error) == (JobStatus.SUCCEEDED, None)
    assert whole.fine_tuned_model == model_id(whole)
    model = workshop.models.get(model_id(whole))
    assert model.kind is PublishedKind.ADAPTER
    assert read_adapter(workshop.home / model.folder)
    assert model.lineage.evaluation == whole.evaluation
    assert model.lineage.training_sha256 == workshop.files.get(whole.spec.training_file).sha256


def test_every_step_is_told_once_and_the_result_file_has_them(
    workshop: Workshop, whole: Job
) -> None:
    steps = curve(workshop, whole.id)
    assert [row["step"] for row in steps] == list(range(1, 9))
    assert [row["step"] for row in steps if "valid_loss" in row] == [3, 6, 8]
    assert whole.trained_tokens > 0
    table = workshop.files.path(whole.result_files[0]).read_text().splitlines()
    assert table[0].startswith("step,train_loss,learning_rate,gradient_norm")
    assert len(table) == 9


# Before the base is scored, before and after checkpoints, before the tuned model's scores are
# told, before it is published, and between that and the end.
@pytest.mark.parametrize("calls", [1, 3, 5, 6, 9, -4, -2, -1])
def test_a_trainer_killed_anywhere_is_followed_by_one_with_the_same_curve_and_scores(
    workshop: Workshop, file: str, undisturbed: tuple[Job, int], calls: int
) -> None:
    whole, told = undisturbed
    job = running_job(workshop.jobs, file)
    database = workshop.jobs._database
    calls = calls % told
    with pytest.raises(Killed):
        run_attempt(replace(workshop, jobs=KilledJobs(database, calls)), job.id, 1)
    workshop.jobs.restarted(job.id, 1)
    run_attempt(workshop, job.id, 2)
    done = workshop.jobs.get(job.id)
    assert (done.status, done.error) == (JobStatus.SUCCEEDED, None)
    assert curve(workshop, job.id) == curve(workshop, whole.id)
    assert done.evaluation == whole.evaluation
    assert done.trained_tokens == whole.trained_tokens
    assert workshop.models.get(model_id(done)).lineage.job == job.id


def test_kill_9_in_the_middle_of_the_training_changes_no_loss(
    workshop: Workshop, file: str
) -> None:
    long, undisturbed = (running_job(workshop.jobs, file, steps=60) for _ in range(2))
    run_attempt(workshop, undisturbed.id, 1)
    process = trainer_process(workshop, long.id, 1)
    try:
        wait_for_step(workshop, long.id, 5, process)
    finally:
        process.kill()
        process.wait()
    assert workshop.jobs.get(long.id).completed_steps < 60
    workshop.jobs.restarted(long.id, 1)
    run_attempt(workshop, long.id, 2)
    assert workshop.jobs.get(long.id).status is JobStatus.SUCCEEDED
    assert curve(workshop, long.id) == curve(workshop, undisturbed.id)


def test_a_paused_job_keeps_what_it_has_and_goes_on_from_there(
    workshop: Workshop, file: str, whole: Job
) -> None:
    class PausedByStep(TuningJobs):
        def is_mine(self, id: str, attempt: int) -> bool:
            if self.get(id).completed_steps >= 3 and attempt == 1:
                self.pause(id)
            return super().is_mine(id, attempt)

    job = running_job(workshop.jobs, file)
    eager = replace(workshop, jobs=PausedByStep(workshop.jobs._database))
    run_attempt(eager, job.id, 1, tell_every_s=0.0)
    paused = workshop.jobs.get(job.id)
    assert paused.status is JobStatus.PAUSED
    assert 3 <= paused.completed_steps < 8
    assert workshop.jobs.checkpoints(job.id).data[0].step == paused.completed_steps
    workshop.jobs.resume(job.id)
    assert workshop.jobs.claim(100) is not None
    run_attempt(workshop, job.id, 2)
    assert curve(workshop, job.id) == curve(workshop, whole.id)


def test_a_cancelled_job_is_left_at_once(workshop: Workshop, file: str) -> None:
    job = running_job(workshop.jobs, file)
    workshop.jobs.cancel(job.id)
    run_attempt(workshop, job.id, 1)
    assert workshop.jobs.get(job.id).status is JobStatus.CANCELLED
    with pytest.raises(ModelNotFound):
        workshop.models.get(model_id(job))


def test_a_gate_that_fails_keeps_the_model_back_and_says_why(workshop: Workshop, file: str) -> None:
    job = running_job(workshop.jobs, file)
    spec = job.spec.model_copy(update={"gate": Gate(at_least={"exact_match": 1.0})})
    job = workshop.jobs.create(spec, job.plan)  # type: ignore[arg-type]
    workshop.jobs.claim(100)
    run_attempt(workshop, job.id, 1)
    done = workshop.jobs.get(job.id)
    assert (done.status, done.fine_tuned_model) == (JobStatus.SUCCEEDED, None)
    assert done.evaluation is not None
    assert not done.evaluation.passed
    assert any("exact_match" in reason for reason in done.evaluation.reasons)


def test_a_file_that_is_gone_fails_the_job_with_its_reason(workshop: Workshop) -> None:
    job = running_job(workshop.jobs, "file-gone")
    run_attempt(workshop, job.id, 1)
    done = workshop.jobs.get(job.id)
    assert done.status is JobStatus.FAILED
    assert done.error is not None
    assert done.error.code == "not_found"


def trainer_process(workshop: Workshop, job: str, attempt: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "services.tuning.trainers", job, str(attempt)],
        env={"BESTIARY_HOME": str(workshop.home), "PATH": "/usr/bin:/bin", "HOME": "/tmp"},
        cwd=CHECKOUT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for_step(
    workshop: Workshop, job: str, step: int, process: subprocess.Popen[bytes]
) -> None:
    deadline = time.monotonic() + 120
    while workshop.jobs.get(job).completed_steps < step:
        assert process.poll() is None, workshop.jobs.get(job)
        assert time.monotonic() < deadline
        time.sleep(0.02)
