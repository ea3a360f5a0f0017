"""How long work tells that it moves on; what shows it is somebody else's."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol


class Task(Protocol):
    """One step of long work."""

    def advance(self, amount: float = 1) -> None: ...


class Progress(Protocol):
    """Where steps are reported. `total` is None where the length is not known."""

    def step(
        self, title: str, total: float | None = None, unit: str = ""
    ) -> AbstractContextManager[Task]: ...


class _Silence:
    def advance(self, amount: float = 1) -> None:
        """Nothing to show."""

    def __enter__(self) -> _Silence:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to close."""


class Silent:
    """A `Progress` that shows nothing."""

    def step(
        self, title: str, total: float | None = None, unit: str = ""
    ) -> AbstractContextManager[Task]:
        return _Silence()
