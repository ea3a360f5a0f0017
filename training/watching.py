"""Who is told how a training goes, and may end it."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from training.curves import Row


@dataclass(frozen=True)
class Step:
    """One step that is done."""

    number: int  # the first is 1
    loss: float
    learning_rate: float
    gradient_norm: float  # before it was cut


class Watcher(Protocol):
    """Entered before the first step and left after the last one, or with the error."""

    def stepped(self, step: Step) -> bool:
        """False ends the run, with a checkpoint of this step."""
        ...

    def measured(self, row: Row) -> None:
        """Before `stepped` of the same step."""

    def saving(self, step: int) -> None:
        """Before a checkpoint of this step is written: a run that is killed later begins there."""

    def saved(self, step: int) -> None:
        """The checkpoint is on the disk."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Unwatched:
    """Nobody is told, as where another process of the training is the one that tells."""

    def stepped(self, step: Step) -> bool:
        return True

    def measured(self, row: Row) -> None:
        """Nobody is told; of checkpoints neither."""

    def saving(self, step: int) -> None:
        """See `measured`."""

    def saved(self, step: int) -> None:
        """See `measured`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to close."""
