"""Deployments of tuned models, and what is swept away, over a real database."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from bestiary.garden import Garden
from bestiary.profile.applications import ApplicationSpec, ServedModel, TuningArgs
from bestiary.profile.load import load_profile
from bestiary.schemas.publishing import PublishedModel
from bestiary.state.database import Database
from bestiary.state.published_models import PublishedModels
from bestiary.state.tuning_jobs import TuningJobs
from services.tuning.serving import TunedDeployments
from services.tuning.sweeping import LEFT_ALONE_S, Sweeper
from tests.unit.state.state_values import published
from tests.unit.tuning.tuning_values import database_in, plan_of_steps, spec_of

BASE = "smollm2-135m-instruct"


class Applications:
    """What Serve would run."""

    def __init__(self, *names: str) -> None:
        self.running = set(names)
        self.asked = 0

    def names(self) -> Iterable[str]:
        self.asked += 1
        return tuple(self.running)

    def deploy(self, spec: ApplicationSpec) -> None:
        self.running.add(spec.name)

    def delete(self, name: str) -> None:
        self.running.remove(name)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with database_in(tmp_path) as database:
        yield database


def args(home: Path) -> TuningArgs:
    profile = load_profile("laptop")
    card = Garden(home).card(BASE)
    served = ServedModel(deployment="smollm2-135m-fast", family=card.family, card=card)
    return TuningArgs(profile=profile, served=(served,))


def asking_for_replicas(id: str) -> PublishedModel:
    """An adapter with a floor of its own stands alone."""
    return published(id).model_copy(update={"base": BASE, "min_replicas": 1})


def test_what_stands_alone_is_deployed_and_goes_when_it_is_deleted(
    database: Database, tmp_path: Path
) -> None:
    models = PublishedModels(database)
    serve = Applications("gateway", "smollm2-135m-fast")
    deployments = TunedDeployments(args(tmp_path), models, serve)
    models.add(published("ft:smollm2:beside:1").model_copy(update={"base": BASE}))
    models.add(asking_for_replicas("ft:smollm2:alone:2b"))
    deployments.tick()
    assert serve.running == {"gateway", "smollm2-135m-fast", "ft-2b"}
    models.delete("ft:smollm2:alone:2b")
    deployments.tick()
    assert serve.running == {"gateway", "smollm2-135m-fast"}


def test_serve_is_asked_only_where_something_changed(database: Database, tmp_path: Path) -> None:
    serve = Applications()
    deployments = TunedDeployments(args(tmp_path), PublishedModels(database), serve)
    for _ in range(3):
        deployments.tick()
    assert serve.asked == 1


def test_a_model_that_this_profile_cannot_serve_is_left_out(
    database: Database, tmp_path: Path
) -> None:
    models = PublishedModels(database)
    models.add(asking_for_replicas("ft:other:x:3").model_copy(update={"base": "other"}))
    models.add(asking_for_replicas("ft:smollm2:alone:4"))
    serve = Applications()
    TunedDeployments(args(tmp_path), models, serve).tick()
    assert serve.running == {"ft-4"}


def test_folders_of_jobs_that_are_over_go_and_those_of_others_stay(
    database: Database, tmp_path: Path
) -> None:
    jobs, models = TuningJobs(database), PublishedModels(database)
    over, waiting = (jobs.create(spec_of(), plan_of_steps()) for _ in range(2))
    jobs.cancel(over.id)
    model = published().model_copy(update={"folder": f"tuned/{over.id}"})
    models.add(model)
    kept = {tmp_path / "tuning" / waiting.id, tmp_path / model.folder}
    gone = {tmp_path / "tuning" / over.id, tmp_path / "tuned" / "ftjob-unknown"}
    for folder in kept | gone:
        aged(folder)
    fresh = tmp_path / "tuned" / "ftjob-being-published"
    fresh.mkdir()
    Sweeper(tmp_path, jobs, models).sweep()
    assert all(folder.is_dir() for folder in kept | {fresh})
    assert not any(folder.exists() for folder in gone)
    models.delete(model.id)
    Sweeper(tmp_path, jobs, models).sweep()
    assert not (tmp_path / model.folder).exists()


def aged(folder: Path) -> None:
    folder.mkdir(parents=True)
    before = time.time() - LEFT_ALONE_S - 60
    os.utime(folder, (before, before))
