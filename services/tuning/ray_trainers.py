"""Trainers as detached Ray actors. The only part of the service that starts processes.

An actor's name says whose it is, so that nothing has to be remembered: a tuning service that
starts anew finds by name what the one before it started.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError
from ray.util import list_named_actors

from bestiary.profile.models import Profile, Trainer
from bestiary.profile.serve_options import GIB
from services.tuning.controller import TrainerState

NAMESPACE = "bestiary-tuning"
ANSWER_S = 2.0  # a trainer that gives way may take a while to say that it lives
END_S = 20.0
_NAME = re.compile(r"trainer-(ftjob-[0-9a-zA-Z]+)-(\d+)")

Handle = Any  # Ray's ActorHandle has no methods that a type checker could know


class RayTrainers:
    """See `controller.Trainers`. `worker` is the class of the actors."""

    def __init__(self, profile: Profile, worker: Callable[[], type]) -> None:
        """`worker` is asked for when it is needed: importing it is slow."""
        self._profile = profile
        self._trainer = profile.trainer
        self._worker = worker

    def start(self, job: str, attempt: int, workers: int) -> None:
        for other, older in tuple(self.present()):
            if other == job:
                self.stop(other, older)
        actor = ray.remote(self._worker()).options(**self._options(job, attempt, workers))
        # Not waited for: Ray starts it where and when there is room, and it begins by itself.
        actor.remote(job, attempt, self._profile, workers)

    def state(self, job: str, attempt: int) -> TrainerState:
        handle = _find(job, attempt)
        if handle is None:
            return TrainerState.LOST
        try:
            ended = ray.get(handle.ended.remote(), timeout=ANSWER_S)
        except GetTimeoutError:
            return TrainerState.RUNNING  # it waits for room, or gives way
        except RayActorError:
            return TrainerState.LOST
        return TrainerState.ENDED if ended else TrainerState.RUNNING

    def present(self) -> Iterable[tuple[str, int]]:
        for entry in list_named_actors(all_namespaces=True):
            found = _NAME.fullmatch(entry["name"])
            if entry["namespace"] == NAMESPACE and found is not None:
                yield found.group(1), int(found.group(2))

    def stop(self, job: str, attempt: int) -> None:
        handle = _find(job, attempt)
        if handle is None:
            return
        ray.kill(handle, no_restart=True)
        try:
            ray.get(handle.ended.remote(), timeout=END_S)
        except (RayActorError, GetTimeoutError):
            return  # dead, as it should be

    def _options(self, job: str, attempt: int, workers: int) -> dict[str, object]:
        # Of several workers it only waits for them, and they have the resources.
        trainer = self._trainer if workers == 1 else Trainer(cpus=0)
        options: dict[str, object] = {
            "name": _name(job, attempt),
            "namespace": NAMESPACE,
            "lifetime": "detached",
            "num_cpus": trainer.cpus,
            "num_gpus": trainer.gpus,
            "max_restarts": 0,  # the controller starts it again, as another attempt
            "max_concurrency": 2,
        }
        if trainer.memory_gib is not None:
            options["memory"] = int(trainer.memory_gib * GIB)
        return options


def _name(job: str, attempt: int) -> str:
    return f"trainer-{job}-{attempt}"


def _find(job: str, attempt: int) -> Handle | None:
    try:
        return ray.get_actor(_name(job, attempt), namespace=NAMESPACE)
    except ValueError:
        return None
