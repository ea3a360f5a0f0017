"""Two processes at one job: what they learn is what one learns, and they end together."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import pytest

from bestiary.schemas.tuning import Hyperparameters, Job, JobStatus, Lora
from bestiary.state.database import Database
from bestiary.state.tuning_jobs import TuningJobs
from services.tuning.trainers.run import Workshop, run_attempt
from tests.unit.tuning.small_groups import Peer, peer, reduced
from tests.unit.tuning.small_homes import home_with_base, running_job, training_file, workshop_in

NEAR = 1e-5


class DisturbedJobs(TuningJobs):
    """Something happens to the job once a step of its first attempt is told."""

    def __init__(self, database: Database, step: int) -> None:
        super().__init__(database)
        self._step = step

    def is_mine(self, id: str, attempt: int) -> bool:
        if attempt == 1 and self.get(id).completed_steps >= self._step:
            self.happens(id)
        return super().is_mine(id, attempt)

    def happens(self, id: str) -> None:
        raise NotImplementedError


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
def other() -> Iterator[Peer]:
    with peer() as started:
        yield started


def job_of(workshop: Workshop, file: str) -> Job:
    """Three batches a step: two for the first process, one for the second."""
    return running_job(workshop.jobs, file, batch_size=6)


@pytest.fixture(scope="module")
def alone(workshop: Workshop, file: str) -> Job:
    job = job_of(workshop, file)
    assert run_attempt(workshop, job.id, 1)
    return workshop.jobs.get(job.id)


def curve(workshop: Workshop, job: str) -> list[object]:
    return [pytest.approx(dict(row.data), rel=NEAR, abs=NEAR) for row in workshop.jobs.metrics(job)]


def told(workshop: Workshop, job: str) -> list[dict[str, object]]:
    return [dict(row.data) for row in workshop.jobs.metrics(job)]


def test_two_processes_have_the_curve_and_the_scores_of_one(
    workshop: Workshop, file: str, alone: Job, other: Peer
) -> None:
    job = job_of(workshop, file)
    first, second = other.attempt(workshop, job.id, 1)
    assert (first, second.result()) == (True, True)
    done = workshop.jobs.get(job.id)
    assert (done.status, done.error) == (JobStatus.SUCCEEDED, None)
    assert told(workshop, job.id) == curve(workshop, alone.id)
    assert done.trained_tokens == alone.trained_tokens
    assert done.evaluation is not None
    assert alone.evaluation is not None
    assert done.evaluation.tuned == pytest.approx(alone.evaluation.tuned, rel=NEAR, abs=NEAR)


def test_only_the_first_process_tells(
    workshop: Workshop, file: str, alone: Job, other: Peer
) -> None:
    job = job_of(workshop, file)
    other.attempt(workshop, job.id, 1)[1].result()
    said, alone_said = (
        [event.message for event in workshop.jobs.events(id).data] for id in (job.id, alone.id)
    )
    assert len(said) == len(alone_said)


def test_a_pause_that_the_first_process_sees_ends_both_and_the_next_two_go_on(
    workshop: Workshop, file: str, alone: Job, other: Peer
) -> None:
    class Paused(DisturbedJobs):
        def happens(self, id: str) -> None:
            self.pause(id)

    job = job_of(workshop, file)
    pausing = replace(workshop, jobs=Paused(workshop.jobs._database, step=3))
    first, second = other.attempt(pausing, job.id, 1)
    assert (first, second.result()) == (True, True)
    paused = workshop.jobs.get(job.id)
    assert (paused.status, paused.completed_steps) == (JobStatus.PAUSED, 3)
    workshop.jobs.resume(job.id)
    workshop.jobs.claim(100)
    first, second = other.attempt(workshop, job.id, 2)
    assert (first, second.result()) == (True, True)
    assert told(workshop, job.id) == curve(workshop, alone.id)


def test_both_end_early_where_patience_is_over(workshop: Workshop, file: str, other: Peer) -> None:
    impatient = Hyperparameters(lora=Lora(rank=4, alpha=8), patience=1, learning_rate=1.0)
    job = running_job(workshop.jobs, file, steps=60, batch_size=6)
    spec = job.spec.model_copy(update={"hyperparameters": impatient})
    assert job.plan is not None
    wild = job.plan.model_copy(update={"learning_rate": 1.0})
    job = workshop.jobs.create(spec, wild)
    workshop.jobs.claim(100)
    first, second = other.attempt(workshop, job.id, 1)
    assert (first, second.result()) == (True, True)
    done = workshop.jobs.get(job.id)
    assert done.status is JobStatus.SUCCEEDED
    assert done.completed_steps < 60


def test_a_process_that_is_killed_ends_the_attempt_but_not_the_job(
    workshop: Workshop, file: str, alone: Job, other: Peer
) -> None:
    with peer() as mortal:
        pid = mortal.pid

        class Killing(DisturbedJobs):
            def happens(self, id: str) -> None:
                os.kill(pid, signal.SIGKILL)

        job = job_of(workshop, file)
        killing = replace(workshop, jobs=Killing(workshop.jobs._database, step=5))
        first, second = mortal.attempt(killing, job.id, 1)
        assert not first
        with pytest.raises(BrokenProcessPool):
            second.result()
    left = workshop.jobs.get(job.id)
    assert (left.status, left.error) == (JobStatus.RUNNING, None)
    workshop.jobs.restarted(job.id, 1)
    first, second = other.attempt(workshop, job.id, 2)
    assert (first, second.result()) == (True, True)
    assert told(workshop, job.id) == curve(workshop, alone.id)


def test_a_job_that_is_cancelled_ends_both(workshop: Workshop, file: str, other: Peer) -> None:
    class Cancelled(DisturbedJobs):
        def happens(self, id: str) -> None:
            self.cancel(id)

    job = job_of(workshop, file)
    cancelling = replace(workshop, jobs=Cancelled(workshop.jobs._database, step=3))
    _, second = other.attempt(cancelling, job.id, 1)
    second.result()  # it is at its end
    done = workshop.jobs.get(job.id)
    assert (done.status, done.completed_steps) == (JobStatus.CANCELLED, 3)


def test_a_failure_is_told_once_with_its_reason(workshop: Workshop, other: Peer) -> None:
    job = running_job(workshop.jobs, "file-gone")
    first, second = other.attempt(workshop, job.id, 1)
    assert (first, second.result()) == (False, False)
    done = workshop.jobs.get(job.id)
    assert done.error is not None
    assert done.error.code == "not_found"


def test_a_parameter_without_gradients_keeps_none(tmp_path: Path, other: Peer) -> None:
    second = other.pool.submit(reduced, 1, tmp_path / "store", 0.25, [2.0, 3.0, None])
    first = reduced(0, tmp_path / "store", 0.5, [1.0, None, None])
    assert first == second.result() == [0.75, [3.0, 3.0], [3.0, 3.0], None]
