"""What a trainer tells of its job, fenced by its attempt. Knows no model.

Steps are told in groups, at least once a second and before each checkpoint: what a checkpoint
holds is always told, so that no step is missing after a kill.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from bestiary.schemas.tuning import Evaluation, EventLevel, JobError
from bestiary.state.tuning_jobs import StepMetrics, TuningJobs
from training.curves import Row
from training.watching import Step

TELL_EVERY_S = 1.0


class JobReporter:
    """One attempt's word to the database.

    Raises Superseded where the job was cancelled or another attempt has it. Of a paused job what
    was done until then may still be told.
    """

    def __init__(self, jobs: TuningJobs, job: str, attempt: int) -> None:
        self._jobs = jobs
        self._job = job
        self._attempt = attempt

    @property
    def wanted(self) -> bool:
        """False: paused, cancelled, or another trainer has the job."""
        return self._jobs.is_mine(self._job, self._attempt)

    def told(self, message: str, level: EventLevel = EventLevel.INFO) -> None:
        self._jobs.told(self._job, self._attempt, message, level)

    def progressed(self, steps: list[StepMetrics], saved: dict[str, float] | None = None) -> None:
        """`saved`: there is a checkpoint of the last step, with these metrics."""
        self._jobs.progressed(self._job, self._attempt, steps, saved=saved)

    def evaluated(self, evaluation: Evaluation) -> None:
        self._jobs.evaluated(self._job, self._attempt, evaluation)

    def succeeded(self, model: str | None, result_files: tuple[str, ...], message: str) -> None:
        self._jobs.succeeded(
            self._job, self._attempt, model=model, result_files=result_files, message=message
        )

    def failed(self, error: JobError) -> None:
        self._jobs.failed(self._job, self._attempt, error)


class JobWatcher:
    """See `training.watching.Watcher`. Ends the run when the job is not wanted any more.

    `tokens_until(step)` are all that were learned from up to a step.
    """

    def __init__(
        self,
        reporter: JobReporter,
        tokens_until: Callable[[int], int],
        tell_every_s: float = TELL_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reporter = reporter
        self._tokens_until = tokens_until
        self._tell_every_s = tell_every_s
        self._clock = clock
        self._untold: list[StepMetrics] = []
        self._told_at = clock()
        self._held_out: dict[str, float] = {}  # of the step that is under way
        self._last: dict[str, float] = {}  # what a checkpoint tells

    def stepped(self, step: Step) -> bool:
        metrics = {
            "train_loss": step.loss,
            "learning_rate": step.learning_rate,
            "gradient_norm": step.gradient_norm,
            **self._held_out,
        }
        self._last = {**self._last, "train_loss": step.loss, **self._held_out}
        self._held_out = {}
        self._untold.append(StepMetrics(step.number, self._tokens_until(step.number), metrics))
        if self._clock() - self._told_at < self._tell_every_s:
            return True
        self._tell()
        return self._reporter.wanted

    def measured(self, row: Row) -> None:
        self._held_out = {f"valid_{name}": value for name, value in row.held_out.items()}

    def saving(self, step: int) -> None:
        self._tell()  # what the checkpoint holds will not be told again

    def saved(self, step: int) -> None:
        self._tell(saved=dict(self._last))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._tell()

    def _tell(self, saved: dict[str, float] | None = None) -> None:
        if self._untold or saved is not None:
            self._reporter.progressed(self._untold, saved)
            self._untold = []
        self._told_at = self._clock()
