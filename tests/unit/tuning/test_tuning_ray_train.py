"""Two workers at one job through Ray Train, on a Ray of the test's own; one of them is killed."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import ray

from bestiary.profile.models import Trainer, Tuning
from bestiary.schemas.tuning import Job, JobStatus
from services.tuning.controller import Controller
from services.tuning.ray_trainers import RayTrainers
from services.tuning.trainers.run import Workshop, run_attempt
from services.tuning.trainers.worker import TrainerWorker
from tests.unit.tuning.small_homes import home_with_base, running_job, training_file, workshop_in

pytestmark = pytest.mark.slow

WAIT_S = 240
TICK_S = 0.5
NEAR = 1e-5


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    home = tmp_path_factory.mktemp("home")
    database = home_with_base(home)
    yield workshop_in(home, database)
    database.close()


@pytest.fixture(scope="module")
def controller(workshop: Workshop) -> Iterator[Controller]:
    trainer = Trainer(cpus=1, gives_way=False)  # two workers take all of it
    profile = workshop.profile.model_copy(update={"tuning": Tuning(trainer=trainer)})
    variables = {"BESTIARY_HOME": str(workshop.home), "OMP_NUM_THREADS": "1"}
    with (
        # Its own cluster, never one that already runs; a short path, because sockets lie in it.
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            configure_logging=False,
            log_to_driver=False,
            _temp_dir=folder,
            runtime_env={"env_vars": variables},
        ),
    ):
        trainers = RayTrainers(profile, lambda: TrainerWorker)
        yield Controller(workshop.jobs, trainers, max_running=1, max_stuck_attempts=3)


def worker_processes(home: Path) -> list[int]:
    """Of this home. Others may train on this machine too."""
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        title = " ".join(process.info["cmdline"] or ())
        if "ray::RayTrainWorker" in title and process.environ().get("BESTIARY_HOME") == str(home):
            found.append(process.pid)
    return found


def trainer_process() -> int:
    """Of this test's Ray: the one beneath it."""
    (found,) = (
        process.pid
        for process in psutil.Process().children(recursive=True)
        if process.name().startswith("ray::TrainerWorker")
    )
    return found


def test_a_killed_trainer_gives_back_what_its_workers_had_reserved(
    workshop: Workshop, controller: Controller
) -> None:
    spec = running_job(workshop.jobs, training_file(workshop), steps=60, batch_size=6)
    run_attempt(workshop, spec.id, 1)
    job = workshop.jobs.create(
        spec.spec.model_copy(update={"workers": 2}),
        spec.plan,  # type: ignore[arg-type]
    )
    while_ticking(workshop, controller, job, lambda: steps(workshop, job) >= 5)
    os.kill(trainer_process(), signal.SIGKILL)
    while_ticking(
        workshop, controller, job, lambda: workshop.jobs.get(job.id).status is not JobStatus.RUNNING
    )
    done = workshop.jobs.get(job.id)
    assert (done.status, done.attempt) == (JobStatus.SUCCEEDED, 2)
    assert told(workshop, job) == near(told(workshop, spec))


def told(workshop: Workshop, job: Job) -> list[dict[str, float]]:
    return [dict(row.data) for row in workshop.jobs.metrics(job.id)]


def near(rows: list[dict[str, float]]) -> list[object]:
    return [pytest.approx(row, rel=NEAR, abs=NEAR) for row in rows]


def test_a_killed_worker_is_followed_by_an_attempt_that_ends_in_the_curve_of_one_process(
    workshop: Workshop, controller: Controller
) -> None:
    file = training_file(workshop)
    alone = running_job(workshop.jobs, file, steps=120, batch_size=6)
    run_attempt(workshop, alone.id, 1)
    job = workshop.jobs.create(
        alone.spec.model_copy(update={"workers": 2}),
        alone.plan,  # type: ignore[arg-type]
    )
    while_ticking(workshop, controller, job, lambda: steps(workshop, job) >= 5)
    one, other = worker_processes(workshop.home)
    assert steps(workshop, job) < 120
    os.kill(max(one, other), signal.SIGKILL)
    while_ticking(
        workshop, controller, job, lambda: workshop.jobs.get(job.id).status is not JobStatus.RUNNING
    )
    done = workshop.jobs.get(job.id)
    assert (done.status, done.attempt, done.error) == (JobStatus.SUCCEEDED, 2, None)
    assert told(workshop, job) == near(told(workshop, alone))


def steps(workshop: Workshop, job: Job) -> int:
    return workshop.jobs.get(job.id).completed_steps


def while_ticking(workshop, controller, job, until) -> None:
    deadline = time.monotonic() + WAIT_S
    while not until():
        assert time.monotonic() < deadline, workshop.jobs.get(job.id)
        controller.tick()
        time.sleep(TICK_S)
