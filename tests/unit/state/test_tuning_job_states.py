"""Every transition from every state of a tuning job, on both databases."""

from __future__ import annotations

import pytest
from state_values import PLAN, spec

from bestiary.errors import Conflict, NotFound, Superseded
from bestiary.schemas.tuning import Evaluation, Job, JobError, JobStatus
from bestiary.state.tuning_jobs import StepMetrics, TuningJobs

QUEUED, RUNNING, PAUSED = JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSED
SUCCEEDED, FAILED, CANCELLED = JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED
STEPS = [StepMetrics(1, 2, {})]
BROKEN = JobError(code="engine_failure", message="out of memory")

USERS = {"pause": TuningJobs.pause, "resume": TuningJobs.resume, "cancel": TuningJobs.cancel}
TRAINERS = {
    "restarted": lambda jobs, id, attempt: jobs.restarted(id, attempt),
    "progressed": lambda jobs, id, attempt: jobs.progressed(id, attempt, STEPS, saved={}),
    "told": lambda jobs, id, attempt: jobs.told(id, attempt, "hello"),
    "evaluated": lambda jobs, id, attempt: jobs.evaluated(
        id, attempt, Evaluation(examples=1, base={}, tuned={})
    ),
    "succeeded": lambda jobs, id, attempt: jobs.succeeded(
        id, attempt, model="ft:a:b:c", result_files=("file-r",), message="done"
    ),
    "failed": lambda jobs, id, attempt: jobs.failed(id, attempt, BROKEN),
}
# From a state to the state after; a state that is missing refuses.
BY_USERS = {
    "pause": {QUEUED: PAUSED, RUNNING: PAUSED, PAUSED: PAUSED},
    "resume": {PAUSED: QUEUED, QUEUED: QUEUED, RUNNING: RUNNING},
    "cancel": {QUEUED: CANCELLED, RUNNING: CANCELLED, PAUSED: CANCELLED, CANCELLED: CANCELLED},
}
OF_A_PAUSED_ONE = {"progressed"}  # its trainer ends with a checkpoint
BY_TRAINERS = {"succeeded": SUCCEEDED, "failed": FAILED}  # the others leave it running


@pytest.fixture
def jobs(database):
    return TuningJobs(database)


def in_state(jobs: TuningJobs, status: JobStatus) -> Job:
    """A job that got there by the store's own calls; its trainer had attempt 1, if any."""
    job = jobs.create(spec(), PLAN)
    if status is QUEUED:
        return job
    claimed = jobs.claim(1)
    assert claimed is not None
    match status:
        case JobStatus.PAUSED:
            jobs.pause(job.id)
        case JobStatus.CANCELLED:
            jobs.cancel(job.id)
        case JobStatus.SUCCEEDED:
            jobs.succeeded(job.id, 1, model=None, result_files=(), message="done")
        case JobStatus.FAILED:
            jobs.failed(job.id, 1, BROKEN)
    return jobs.get(job.id)


@pytest.mark.parametrize("status", JobStatus)
def test_users_move_a_job_as_the_table_says(jobs, status):
    for name, move in USERS.items():
        job = in_state(jobs, status)
        assert job.status is status
        expected = BY_USERS[name].get(status)
        if expected is None:
            with pytest.raises(Conflict, match=f"is {status} and cannot {name}"):
                move(jobs, job.id)
            assert jobs.get(job.id) == job
        else:
            moved = move(jobs, job.id)
            assert moved.status is expected
            assert moved == jobs.get(job.id)
            assert (moved.finished_at is not None) == expected.final
        _finish(jobs, job.id)


@pytest.mark.parametrize("status", JobStatus)
def test_trainers_write_only_while_their_job_runs_or_comes_to_its_pause(jobs, status):
    for name, write in TRAINERS.items():
        job = in_state(jobs, status)
        if status is RUNNING or (status is PAUSED and name in OF_A_PAUSED_ONE):
            write(jobs, job.id, 1)
            assert jobs.get(job.id).status is BY_TRAINERS.get(name, status)
        else:
            events = jobs.events(job.id)
            with pytest.raises(Superseded, match=str(status)):
                write(jobs, job.id, job.attempt)
            assert jobs.get(job.id) == job
            assert jobs.events(job.id) == events
        _finish(jobs, job.id)


@pytest.mark.parametrize("status", [s for s in JobStatus if s is not QUEUED])
def test_only_a_queued_job_is_claimed(jobs, status):
    in_state(jobs, status)

    assert jobs.claim(10) is None


def _finish(jobs: TuningJobs, id: str) -> None:
    if not jobs.get(id).status.final:
        jobs.cancel(id)


@pytest.mark.parametrize("write", TRAINERS.values(), ids=TRAINERS)
def test_an_older_attempt_is_fenced_off(jobs, write):
    job = in_state(jobs, RUNNING)
    again = jobs.restarted(job.id, 1)
    events = jobs.events(job.id)

    for attempt in (0, 1, 3):
        with pytest.raises(Superseded):
            write(jobs, job.id, attempt)

    assert again.attempt == 2
    assert jobs.get(job.id) == again
    assert jobs.events(job.id) == events


@pytest.mark.parametrize("write", TRAINERS.values(), ids=TRAINERS)
@pytest.mark.parametrize("id", ["ftjob-none", "", "a\0b", "\ud800", "' or 1=1 --"])
def test_a_job_that_is_not_there_is_not_found(jobs, write, id):
    with pytest.raises(NotFound):
        write(jobs, id, 1)
    for read in (jobs.get, jobs.events, jobs.metrics, jobs.checkpoints, *USERS.values()):
        with pytest.raises(NotFound):
            read(jobs, id) if read in USERS.values() else read(id)


def test_is_mine_tells_a_trainer_whether_to_go_on(jobs):
    job = in_state(jobs, RUNNING)
    assert jobs.is_mine(job.id, 1)
    assert not jobs.is_mine(job.id, 2)
    assert not jobs.is_mine("ftjob-none", 1)

    jobs.pause(job.id)
    assert not jobs.is_mine(job.id, 1)


def test_a_paused_job_goes_on_as_another_attempt_and_keeps_its_start(jobs):
    job = in_state(jobs, RUNNING)
    jobs.progressed(job.id, 1, [StepMetrics(7, 70, {"loss": 2.0})])
    jobs.pause(job.id)

    assert jobs.resume(job.id).status is QUEUED
    again = jobs.claim(1)

    assert again is not None
    assert again.attempt == 2
    assert again.started_at == job.started_at
    assert (again.completed_steps, again.trained_tokens) == (7, 70)


def test_a_job_that_succeeded_has_what_came_out(jobs):
    job = in_state(jobs, RUNNING)

    done = jobs.succeeded(job.id, 1, model="ft:a:b:c", result_files=("file-r",), message="done")

    assert done.fine_tuned_model == "ft:a:b:c"
    assert done.result_files == ("file-r",)
    assert jobs.events(job.id).data[0].message == "done"


def test_a_job_that_failed_tells_why(jobs):
    job = in_state(jobs, RUNNING)

    failed = jobs.failed(job.id, 1, JobError(code="internal", message="odd \0 bytes"))

    assert failed == jobs.get(job.id)
    assert failed.error == JobError(code="internal", message="odd \0 bytes")
    last = jobs.events(job.id).data[0]
    assert (last.level, last.message) == (
        "error",
        "The job failed: odd \N{REPLACEMENT CHARACTER} bytes",
    )


def test_every_transition_is_told(jobs):
    job = in_state(jobs, RUNNING)
    jobs.restarted(job.id, 1)
    jobs.pause(job.id)
    jobs.pause(job.id)  # nothing to do, nothing to tell
    jobs.resume(job.id)
    jobs.cancel(job.id)

    assert [event.message for event in reversed(jobs.events(job.id).data)] == [
        f"Created fine-tuning job: {job.id}",
        "Fine-tuning job started, attempt 1",
        "The trainer died; attempt 2 goes on from the last checkpoint",
        "The job is paused",
        "The job is queued again",
        "The job is cancelled",
    ]
