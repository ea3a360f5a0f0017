"""The controller over a real database, with trainers that only say how they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from bestiary.schemas.tuning import JobStatus
from bestiary.state.tuning_jobs import StepMetrics, TuningJobs
from services.tuning.controller import END_S, Controller, TrainerState
from tests.unit.tuning.tuning_values import database_in, plan_of_steps, spec_of


class Trainers:
    """A trainer is what `states` says; one that was stopped is not there any more."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, int], TrainerState] = {}
        self.started: list[tuple[str, int]] = []

    def start(self, job: str, attempt: int, workers: int) -> None:
        self.started.append((job, attempt))
        self.states[job, attempt] = TrainerState.RUNNING

    def state(self, job: str, attempt: int) -> TrainerState:
        return self.states.get((job, attempt), TrainerState.LOST)

    def present(self) -> Iterable[tuple[str, int]]:
        return tuple(self.states)

    def stop(self, job: str, attempt: int) -> None:
        self.states.pop((job, attempt), None)


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[TuningJobs]:
    with database_in(tmp_path) as database:
        yield TuningJobs(database)


def controller(
    jobs: TuningJobs,
    trainers: Trainers,
    max_running: int = 1,
    clock: Callable[[], float] = time.monotonic,
) -> Controller:
    return Controller(jobs, trainers, max_running=max_running, max_stuck_attempts=3, clock=clock)


def test_a_queued_job_gets_a_trainer(jobs: TuningJobs) -> None:
    trainers = Trainers()
    job = jobs.create(spec_of(), plan_of_steps())
    controller(jobs, trainers).tick()
    assert trainers.started == [(job.id, 1)]
    assert jobs.get(job.id).status is JobStatus.RUNNING


def test_no_more_run_than_are_allowed_and_urgent_ones_come_first(jobs: TuningJobs) -> None:
    trainers = Trainers()
    for _ in range(2):
        jobs.create(spec_of(), plan_of_steps())
    urgent = jobs.create(spec_of(priority=5), plan_of_steps())
    controller(jobs, trainers, max_running=1).tick()
    assert trainers.started == [(urgent.id, 1)]


def test_a_trainer_that_died_is_replaced_under_the_next_attempt(jobs: TuningJobs) -> None:
    trainers = Trainers()
    job = jobs.create(spec_of(), plan_of_steps())
    watching = controller(jobs, trainers)
    watching.tick()
    trainers.states.clear()
    watching.tick()
    assert trainers.started == [(job.id, 1), (job.id, 2)]
    assert jobs.get(job.id).attempt == 2


def test_a_service_that_starts_anew_finds_the_trainer_at_work(jobs: TuningJobs) -> None:
    trainers = Trainers()
    jobs.create(spec_of(), plan_of_steps())
    controller(jobs, trainers).tick()
    controller(jobs, trainers).tick()
    assert len(trainers.started) == 1


def test_trainers_that_die_without_a_new_step_are_given_up(jobs: TuningJobs) -> None:
    trainers = Trainers()
    job = jobs.create(spec_of(), plan_of_steps())
    watching = controller(jobs, trainers)
    for _ in range(4):
        watching.tick()
        trainers.states.clear()
    found = jobs.get(job.id)
    assert found.status is JobStatus.FAILED
    assert found.error is not None
    assert found.error.code == "trainer_lost"
    assert "memory" in found.error.message


def test_a_trainer_that_comes_further_each_time_is_not_given_up(jobs: TuningJobs) -> None:
    trainers = Trainers()
    job = jobs.create(spec_of(), plan_of_steps())
    watching = controller(jobs, trainers)
    for step in range(1, 8):
        watching.tick()
        jobs.progressed(job.id, step, [StepMetrics(step, step, {})])  # attempts count as high
        trainers.states.clear()
    assert jobs.get(job.id).status is JobStatus.RUNNING


def test_a_cancelled_jobs_trainer_may_end_by_itself_and_is_stopped_where_it_does_not(
    jobs: TuningJobs,
) -> None:
    trainers, now = Trainers(), [0.0]
    job = jobs.create(spec_of(), plan_of_steps())
    watching = controller(jobs, trainers, clock=lambda: now[0])
    watching.tick()
    jobs.cancel(job.id)
    watching.tick()
    assert trainers.states == {(job.id, 1): TrainerState.RUNNING}
    now[0] = END_S + 1
    watching.tick()
    assert trainers.states == {}


def test_a_paused_jobs_trainer_may_save_and_its_successor_waits_for_nothing_else(
    jobs: TuningJobs,
) -> None:
    trainers = Trainers()
    job = jobs.create(spec_of(), plan_of_steps())
    watching = controller(jobs, trainers)
    watching.tick()
    jobs.pause(job.id)
    watching.tick()
    assert trainers.states == {(job.id, 1): TrainerState.RUNNING}
    trainers.states[job.id, 1] = TrainerState.ENDED
    watching.tick()
    assert trainers.states == {}
    jobs.resume(job.id)
    watching.tick()
    assert trainers.started[-1] == (job.id, 2)
