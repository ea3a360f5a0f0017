"""A trainer as a Ray actor: one process of its own for one attempt at one job.

It outlives whoever started it, and tells the database itself how the job goes, so that a tuning
service that was killed finds it still at work.
"""

from __future__ import annotations

import os
import threading

from bestiary.profile.models import Profile, Trainer
from bestiary.settings import Settings
from bestiary.state.database import Database


class TrainerWorker:
    """`begin` returns at once; the training runs in a thread."""

    def __init__(self, job: str, attempt: int, profile: Profile) -> None:
        self._thread = threading.Thread(
            target=_train, args=(job, attempt, profile), name=f"{job}-{attempt}", daemon=True
        )

    def begin(self) -> int:
        """The process's id."""
        self._thread.start()
        return os.getpid()

    def ended(self) -> bool:
        return not self._thread.is_alive()


def _train(job: str, attempt: int, profile: Profile) -> None:
    trainer = profile.tuning.trainer if profile.tuning is not None else Trainer()
    if trainer.gives_way and not trainer.gpus:
        give_way()
    # Slow to import: torch and all that stands on it.
    from services.tuning.trainers.run import Workshop, run_attempt

    settings = Settings()
    database = Database(settings.resolved_database_url)
    try:
        run_attempt(Workshop.at(settings.home, profile, database), job, attempt)
    finally:
        database.close()


def give_way() -> None:
    """This thread and those that it starts run only while nothing else wants the core.

    SCHED_IDLE has a weight of 3 where a usual thread has 1,024 (sched(7)); no privilege is
    needed to ask for less.
    """
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(19)
