"""Looks after jobs: starts trainers for those that wait, and keeps alive what runs.

Its memory is the database: it may be killed at any moment, and what it finds when it comes back
is what there is. Knows jobs and a place where trainers run, not what they do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from bestiary.errors import Superseded
from bestiary.schemas.tuning import Job, JobError
from bestiary.state.tuning_jobs import TuningJobs

END_S = 15.0  # that a trainer whose job is over may take to end by itself
_logger = logging.getLogger(__name__)


class TrainerState(StrEnum):
    RUNNING = "running"
    ENDED = "ended"  # it said everything that it had to say
    LOST = "lost"  # killed, or never there


class Trainers(Protocol):
    """Where trainers run: one for each attempt at a job."""

    def start(self, job: str, attempt: int, workers: int) -> None:
        """Ends what older attempts at the job left running, then begins."""
        ...

    def state(self, job: str, attempt: int) -> TrainerState: ...

    def present(self) -> Iterable[tuple[str, int]]:
        """(job, attempt) of every trainer that there is, ended ones too."""
        ...

    def stop(self, job: str, attempt: int) -> None:
        """At once; what is not there is no error."""
        ...


@dataclass(frozen=True)
class _Stuck:
    """How often trainers of a job died at the same step."""

    step: int
    times: int


class Controller:
    """`tick` is called about once a second, by one caller at a time. Blocking."""

    def __init__(
        self,
        jobs: TuningJobs,
        trainers: Trainers,
        *,
        max_running: int,
        max_stuck_attempts: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jobs = jobs
        self._trainers = trainers
        self._max_running = max_running
        self._max_stuck_attempts = max_stuck_attempts
        self._clock = clock
        self._stuck: dict[str, _Stuck] = {}
        self._unwanted_since: dict[tuple[str, int], float] = {}

    def tick(self) -> None:
        """One look at everything. Raises Unavailable where the database does not answer."""
        running = {job.id: job for job in self._jobs.running()}
        self._end_unwanted(running)
        for job in running.values():
            self._look_after(job)
        while (claimed := self._jobs.claim(self._max_running)) is not None:
            _logger.info("%s: attempt %d begins", claimed.id, claimed.attempt)
            self._trainers.start(claimed.id, claimed.attempt, claimed.spec.workers)

    def _end_unwanted(self, running: dict[str, Job]) -> None:
        """Trainers that ended, and those of jobs that were cancelled, paused or are over.

        Each is left to see it and end by itself: a paused job's with a checkpoint, one of several
        processes with all of them. A job that is over does not wait longer than END_S for it.
        """
        for job_id, attempt in tuple(self._trainers.present()):
            job = running.get(job_id)
            if job is not None and job.attempt == attempt:
                continue
            ended = self._trainers.state(job_id, attempt) is not TrainerState.RUNNING
            if ended or (self._jobs.get(job_id).status.final and self._waited(job_id, attempt)):
                self._trainers.stop(job_id, attempt)
                self._unwanted_since.pop((job_id, attempt), None)

    def _waited(self, job: str, attempt: int) -> bool:
        now = self._clock()
        return now - self._unwanted_since.setdefault((job, attempt), now) > END_S

    def _look_after(self, job: Job) -> None:
        if self._trainers.state(job.id, job.attempt) is TrainerState.RUNNING:
            return
        # Ended without a word, or gone: what it had to say would have ended the job.
        if self._jobs.get(job.id) != job:
            return  # it did say something, since we looked
        stuck = self._stuck.get(job.id)
        times = stuck.times + 1 if stuck and stuck.step == job.completed_steps else 1
        self._stuck[job.id] = _Stuck(job.completed_steps, times)
        try:
            if times >= self._max_stuck_attempts:
                self._give_up(job, times)
            else:
                self._start_again(job)
        except Superseded as error:
            _logger.info("%s", error)

    def _start_again(self, job: Job) -> None:
        again = self._jobs.restarted(job.id, job.attempt)
        _logger.warning(
            "%s: the trainer died after step %d: attempt %d begins",
            job.id,
            job.completed_steps,
            again.attempt,
        )
        self._trainers.start(again.id, again.attempt, again.spec.workers)

    def _give_up(self, job: Job, times: int) -> None:
        message = (
            f"the trainer died {times} times after step {job.completed_steps}; is there enough "
            "memory for it? See the trainer's log, or try smaller micro batches or max_tokens"
        )
        self._jobs.failed(job.id, job.attempt, JobError(code="trainer_lost", message=message))
