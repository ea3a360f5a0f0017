"""A trainer as a Ray actor: it stands for one attempt at one job.

It outlives whoever started it, and tells the database itself how the job goes, so that a tuning
service that was killed finds it still at work.
"""

from __future__ import annotations

import threading

from bestiary.profile.models import Profile
from services.tuning.trainers.process import attempt_here


class TrainerWorker:
    """Begins when it is made: a thread trains, or waits for `workers` processes that do."""

    def __init__(self, job: str, attempt: int, profile: Profile, workers: int = 1) -> None:
        self._thread = threading.Thread(
            target=_train,
            args=(job, attempt, profile, workers),
            name=f"{job}-{attempt}",
            daemon=True,
        )
        self._thread.start()

    def ended(self) -> bool:
        return not self._thread.is_alive()


def _train(job: str, attempt: int, profile: Profile, workers: int) -> None:
    if workers == 1:
        attempt_here(job, attempt, profile)
        return
    # Slow to import: Ray Train, and torch with it.
    from services.tuning.trainers.together import train_together

    train_together(job, attempt, profile, workers)
