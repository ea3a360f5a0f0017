"""Watching a job from afar: what is new, when to look again, and when to give up. Does no I/O.

A look is the job and the newest pages of its events. Looks that fail because the platform is
away (it restarts, its gateway is being replaced) are repeated for `patience` seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from bestiary_client._errors import (
    BestiaryError,
    ConnectionFailed,
    DeadlineExceeded,
    NotFound,
    RateLimited,
    ServerError,
    StreamBroken,
    TimedOut,
)
from bestiary_client._tuning_results import JobEvent, JobNews, TuningJob

DEFAULT_PATIENCE_S = 300.0
PAGE = 200  # events
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 5.0
_GROWTH = 1.5
_AWAY = (ConnectionFailed, DeadlineExceeded, RateLimited, ServerError, StreamBroken, TimedOut)


class Watch:
    """One watcher's memory. `timeout`: seconds until it gives up, None: never."""

    def __init__(
        self,
        *,
        patience: float,
        timeout: float | None,
        history: bool,
        known: TuningJob | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patience = patience
        self._timeout = timeout
        self._clock = clock
        self._began_at = clock()
        self._away_since: float | None = None
        self._seen: set[str] = set()
        self._fresh: list[JobEvent] = []  # newest first, of the look that is under way
        self._wait_s = FIRST_WAIT_S
        self._job = known
        self._silent = not history  # the first look's events are not told

    def begin_look(self) -> None:
        self._fresh = []

    def take(self, events: Sequence[JobEvent]) -> bool:
        """One page, newest first; whether an older one may hold news too."""
        for event in events:
            if event.id in self._seen:
                return False
            self._fresh.append(event)
        return len(events) == PAGE and not self._silent

    def news(self, job: TuningJob) -> JobNews:
        """The look succeeded."""
        self._job = job
        self._away_since = None
        self._seen.update(event.id for event in self._fresh)
        told = () if self._silent else tuple(reversed(self._fresh))
        self._silent = False
        self._wait_s = FIRST_WAIT_S if told else min(LONGEST_WAIT_S, self._wait_s * _GROWTH)
        return JobNews(job, told)

    def lost(self, error: BestiaryError) -> JobNews:
        """The look failed. Raises the error where waiting cannot help, or has been tried."""
        if self._job is None or not _is_away(error):
            raise error
        now = self._clock()
        if self._away_since is None:
            self._away_since, self._wait_s = now, FIRST_WAIT_S
        if now - self._away_since >= self._patience:
            raise error
        self._wait_s = min(LONGEST_WAIT_S, self._wait_s * _GROWTH)
        return JobNews(self._job, lost=error)

    def wait_s(self) -> float:
        """Until the next look. Raises TimedOut where the time is over."""
        if self._timeout is None:
            return self._wait_s
        left = self._began_at + self._timeout - self._clock()
        if left <= 0:
            state = self._job.status if self._job else "unknown"
            raise TimedOut(f"the job is still {state} after {self._timeout:g} s")
        return min(self._wait_s, left)


def _is_away(error: BestiaryError) -> bool:
    """A 404 without a code is not the platform's: its proxy runs, its gateway does not yet."""
    return isinstance(error, _AWAY) or (isinstance(error, NotFound) and error.code is None)
