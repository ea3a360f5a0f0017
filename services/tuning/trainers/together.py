"""One attempt in several processes, which Ray Train starts and connects.

Where one of them is lost Ray Train ends all. It begins nothing again: the controller starts the
next attempt, from the last checkpoint. Every process needs the same home, on a disk they share.
"""

from __future__ import annotations

import asyncio
import logging

from ray.train import FailureConfig, Result, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.callback import RayTrainCallback
from ray.train.v2._internal.execution.controller import TrainController

from bestiary.profile.models import Profile, Trainer
from bestiary.profile.serve_options import GIB
from bestiary.settings import Settings
from services.tuning.trainers.process import attempt_here
from training.process_group import ON_CPU, ON_GPU

# The others wait while the first process writes a teacher's answers or measures: hours, perhaps.
# Of one that is gone they know at once.
SILENCE_S = 7 * 24 * 3600
_logger = logging.getLogger(__name__)


class BrokenOff(Exception):
    """Tells Ray Train to end the processes that still wait for this one."""


class Starter(TorchTrainer):  # type: ignore[misc]  # Ray is not followed
    """Has Ray Train's controller in this process, a detached actor, instead of in a further one.

    What a detached actor has reserved Ray gives back when it dies, however it dies. For a
    controller in an actor of its own Ray Train has a watcher instead, which asks Ray's dashboard:
    `bestiary up` starts none, and unasked it gives back nothing, warns each second and outlives
    the job.
    """

    def _initialize_and_run_controller(self, **options: object) -> Result:
        controller = TrainController(**options)
        asyncio.run(controller.run())
        return controller.get_result()

    def _create_default_callbacks(self) -> list[RayTrainCallback]:
        return [
            one
            for one in super()._create_default_callbacks()
            if not isinstance(one, PlacementGroupCleanerCallback)
        ]


def train_together(job: str, attempt: int, profile: Profile, workers: int) -> None:
    """Blocks to the end, also while there is no room for so many processes."""
    trainer = profile.trainer

    def share_in() -> None:
        if not attempt_here(job, attempt, profile, together=True):
            raise BrokenOff(f"attempt {attempt} at {job}")

    starter = Starter(
        share_in,
        torch_config=TorchConfig(ON_GPU if trainer.gpus else ON_CPU, timeout_s=SILENCE_S),
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=trainer.gpus > 0,
            resources_per_worker=_resources(trainer),
        ),
        run_config=RunConfig(
            name=f"ray-{attempt}",
            storage_path=str(Settings().home.resolve() / "tuning" / job),
            failure_config=FailureConfig(max_failures=0, max_preemption_failures=0),
        ),
    )
    try:
        starter.fit()
    except TrainingFailedError as error:
        reason, *_ = str(error).splitlines()  # the traces are in the workers' logs
        _logger.warning("attempt %d at %s broke off: %s", attempt, job, reason)


def _resources(trainer: Trainer) -> dict[str, float]:
    resources: dict[str, float] = {"CPU": trainer.cpus}
    if trainer.gpus:
        resources["GPU"] = trainer.gpus
    if trainer.memory_gib is not None:
        resources["memory"] = int(trainer.memory_gib * GIB)
    return resources
