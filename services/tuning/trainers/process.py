"""One process of an attempt: it gives way, opens the database and the folders, and trains."""

from __future__ import annotations

import os

from bestiary.profile.models import Profile
from bestiary.settings import Settings
from bestiary.state.database import Database


def attempt_here(job: str, attempt: int, profile: Profile, *, together: bool = False) -> bool:
    """In this thread. `together`: as one process of torch's default group. See `run_attempt`."""
    trainer = profile.trainer
    if trainer.gives_way and not trainer.gpus:
        give_way()
    # Slow to import: torch and all that stands on it.
    from services.tuning.trainers.run import Workshop, run_attempt
    from training.process_group import ProcessGroup
    from training.share import ALONE

    settings = Settings()
    database = Database(settings.resolved_database_url)
    try:
        workshop = Workshop.at(settings.home, profile, database)
        return run_attempt(workshop, job, attempt, share=ProcessGroup() if together else ALONE)
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
