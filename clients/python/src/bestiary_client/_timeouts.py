"""How long a call may take, and how much of that is left."""

from __future__ import annotations

import time
from dataclasses import dataclass

import httpx2

from bestiary_client._errors import ConfigurationError, TimedOut


@dataclass(frozen=True)
class Timeout:
    """Seconds. `total` spans a call with its retries, or a stream to its end.

    `read` is the longest silence; before the first byte the platform is silent for as long
    as it computes. `total` is checked before every attempt and with every piece that comes,
    so a call outlives it by at most one `read`, which is never longer than what is left of
    `total` when its attempt starts.
    """

    connect: float = 5.0
    read: float = 600.0
    total: float = 600.0

    def __post_init__(self) -> None:
        for name, value in (("connect", self.connect), ("read", self.read), ("total", self.total)):
            if not value > 0:
                raise ConfigurationError(f"timeout {name} must be over 0 seconds, not {value!r}")


def timeout_of(value: float | Timeout) -> Timeout:
    """A plain number bounds everything."""
    if isinstance(value, Timeout):
        return value
    return Timeout(connect=min(Timeout.connect, value), read=value, total=value)


class Budget:
    """What is left of one call's `total`."""

    def __init__(self, timeout: Timeout) -> None:
        self._timeout = timeout
        self._ends_at = time.monotonic() + timeout.total

    def left_s(self) -> float:
        return self._ends_at - time.monotonic()

    def check(self, request_id: str | None = None) -> None:
        """Raises TimedOut."""
        if self.left_s() <= 0:
            raise TimedOut(f"no end within {self._timeout.total:g} s", request_id)

    def for_attempt(self) -> httpx2.Timeout:
        """Raises TimedOut where nothing is left."""
        self.check()
        left = self.left_s()
        connect = min(self._timeout.connect, left)
        read = min(self._timeout.read, left)
        return httpx2.Timeout(connect=connect, read=read, write=read, pool=read)
