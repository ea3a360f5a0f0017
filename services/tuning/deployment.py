"""The tuning service under Ray Serve: one replica that looks at everything about once a second."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Iterable
from time import monotonic

import ray
from ray import serve

from bestiary.errors import Unavailable
from bestiary.profile.applications import ApplicationSpec, TuningArgs, built, prepare
from bestiary.progress import Silent
from bestiary.settings import Settings
from bestiary.state.canaries import Canaries
from bestiary.state.database import Database
from bestiary.state.files import Files
from bestiary.state.published_models import PublishedModels
from bestiary.state.tuning_jobs import TuningJobs
from services.tuning.canaries import CanaryMover
from services.tuning.controller import Controller
from services.tuning.ray_trainers import RayTrainers
from services.tuning.serving import TunedDeployments
from services.tuning.sweeping import Sweeper

TICK_S = 1.0
SWEEP_EVERY_S = 600.0
_logger = logging.getLogger(__name__)


class TuningReplica:
    """Holds nothing: killed at any moment, it goes on where the database is."""

    def __init__(self, args: TuningArgs) -> None:
        tuning = args.profile.tuning
        if tuning is None:
            raise Unavailable("the profile has no section `tuning`", 0.0)
        settings = Settings()
        database = Database(settings.resolved_database_url)
        models = PublishedModels(database)
        jobs = TuningJobs(database)
        self._controller = Controller(
            jobs,
            RayTrainers(args.profile, _worker),
            max_running=tuning.max_running,
            max_stuck_attempts=tuning.max_stuck_attempts,
        )
        self._deployments = TunedDeployments(args, models, ServeApplications())
        self._canaries = CanaryMover(Canaries(database), models)
        self._files = Files(database, settings.home / "blobs" / "files")
        self._sweeper = Sweeper(settings.home, jobs, models)
        self._swept_at = 0.0
        self._watching = asyncio.create_task(self._watch())

    def check_health(self) -> None:
        """Serve restarts a replica whose health check raises."""
        if self._watching.done():
            self._watching.result()

    async def _watch(self) -> None:
        while True:
            await asyncio.to_thread(self._tick)
            await asyncio.sleep(TICK_S)

    def _tick(self) -> None:
        for part in (self._controller.tick, self._deployments.tick, self._canaries.tick):
            try:
                part()
            except Unavailable as error:  # the database is away: it comes back
                _logger.warning("%s", error)
            except Exception:  # the process's edge: what is wrong with one part stops no other
                _logger.exception("%s failed", part.__qualname__)
        if monotonic() - self._swept_at > SWEEP_EVERY_S:
            self._swept_at = monotonic()
            self._files.sweep()
            self._sweeper.sweep()


class ServeApplications:
    """See `serving.Applications`."""

    def names(self) -> Iterable[str]:
        return tuple(serve.status().applications)

    def deploy(self, spec: ApplicationSpec) -> None:
        """In a process for it alone: this one stays as small as what it does."""
        ray.get(ray.remote(num_cpus=0)(_deploy).remote(spec))

    def delete(self, name: str) -> None:
        serve.delete(name, _blocking=False)


def _deploy(spec: ApplicationSpec) -> None:
    """A replica's start is only a load after `prepare`; the trainer did that already, mostly."""
    prepare(spec, Silent())
    serve.run_many(
        [serve.RunTarget(built(spec), name=spec.name, route_prefix=None)],
        wait_for_ingress_deployment_creation=False,
        wait_for_applications_running=False,
    )


def _worker() -> type:
    module = importlib.import_module("services.tuning.trainers.worker")
    worker: type = module.TrainerWorker
    return worker
