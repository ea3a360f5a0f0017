"""The state machine of tuning jobs, as a table. Knows no database.

create -> queued --claim--> running --> succeeded | failed
            ^   \\             /
          resume  pause, pause
            |       v
            +---- paused            cancel: from queued, running and paused
"""

from __future__ import annotations

from dataclasses import dataclass

from bestiary.errors import Conflict
from bestiary.schemas.tuning import JobStatus


@dataclass(frozen=True, slots=True)
class Transition:
    """What a user may do to a job."""

    name: str
    sources: frozenset[JobStatus]
    target: JobStatus
    done: frozenset[JobStatus]  # the job is already where the user wants it: nothing to do
    told: str  # in the job's events


PAUSE = Transition(
    "pause",
    frozenset({JobStatus.QUEUED, JobStatus.RUNNING}),
    JobStatus.PAUSED,
    frozenset({JobStatus.PAUSED}),
    "The job is paused",
)
# A resumed job may run before the user asks again (a retry after a lost answer), hence RUNNING.
RESUME = Transition(
    "resume",
    frozenset({JobStatus.PAUSED}),
    JobStatus.QUEUED,
    frozenset({JobStatus.QUEUED, JobStatus.RUNNING}),
    "The job is queued again",
)
CANCEL = Transition(
    "cancel",
    frozenset({JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSED}),
    JobStatus.CANCELLED,
    frozenset({JobStatus.CANCELLED}),
    "The job is cancelled",
)


def must_move(job: str, status: JobStatus, transition: Transition) -> bool:
    """False where there is nothing to do. Raises Conflict that tells the present state."""
    if status in transition.sources:
        return True
    if status in transition.done:
        return False
    raise Conflict(f"job {job} is {status} and cannot {transition.name}")
