"""How calls on either side of a canary ended: counted here, written down once a second.

No request waits for that. Counts that cannot be written are kept for the next time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Protocol

from bestiary.errors import (
    BestiaryError,
    Conflict,
    InvalidRequest,
    NotFound,
    Overloaded,
    PermissionDenied,
    RateLimited,
    Unauthenticated,
)
from bestiary.schemas.publishing import ArmCounts
from services.router.repeating import Repeating
from services.router.splits import Arm

PERIOD_S = 1.0
CLOSE_DEADLINE_S = 2.0
# Say nothing about the model: the caller's own faults, and refusals of work that was too much.
NO_OUTCOME = (
    Conflict,
    InvalidRequest,
    NotFound,
    Overloaded,
    PermissionDenied,
    RateLimited,
    Unauthenticated,
)
_NOTHING = ArmCounts()
_logger = logging.getLogger(__name__)


class Count(Protocol):
    """`Canaries.count`: adds to what is written down. Blocking."""

    def __call__(self, alias: str, *, base: ArmCounts, candidate: ArmCounts) -> None: ...


class Arms(Protocol):
    def ended(self, arm: Arm, error: BestiaryError | None, first_token_s: float | None) -> None:
        """A call that `arm` had is over; `first_token_s` None: nothing came."""


class ArmRecorder:
    """`Arms` that `count` learns of."""

    def __init__(self, count: Count, *, period_s: float = PERIOD_S) -> None:
        self._count = count
        self._pending: dict[Arm, ArmCounts] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="canaries")
        self._flushing = Repeating(self.flush, period_s, "canary-counts")

    def start(self) -> None:
        """Begins to write counts down. Needs a running event loop."""
        self._flushing.start()

    async def close(self) -> None:
        """Writes the last counts down, where that is done soon."""
        await self._flushing.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await self.flush()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def ended(self, arm: Arm, error: BestiaryError | None, first_token_s: float | None) -> None:
        if isinstance(error, NO_OUTCOME) or (error is None and first_token_s is None):
            return
        more = ArmCounts(
            requests=1,
            errors=int(error is not None),
            first_token_s=first_token_s or 0.0,
            timed=int(first_token_s is not None),
        )
        self._add(arm, more)

    async def flush(self) -> None:
        """Never cut short by a deadline of its own: what is half written would be counted twice."""
        loop = asyncio.get_running_loop()
        for alias in {arm.alias for arm in self._pending}:
            base = self._pending.pop(Arm(alias, False), _NOTHING)
            candidate = self._pending.pop(Arm(alias, True), _NOTHING)
            try:
                await loop.run_in_executor(self._thread, self._write, alias, base, candidate)
            except BestiaryError as error:
                _logger.warning("the canary of %s is not counted yet: %s", alias, error)
                self._add(Arm(alias, False), base)
                self._add(Arm(alias, True), candidate)

    def _write(self, alias: str, base: ArmCounts, candidate: ArmCounts) -> None:
        self._count(alias, base=base, candidate=candidate)

    def _add(self, arm: Arm, more: ArmCounts) -> None:
        before = self._pending.get(arm, _NOTHING)
        self._pending[arm] = ArmCounts(
            requests=before.requests + more.requests,
            errors=before.errors + more.errors,
            first_token_s=before.first_token_s + more.first_token_s,
            timed=before.timed + more.timed,
        )


class Outcome:
    """Of one request, for the arm that it is on: told once, however many attempts it needed."""

    def __init__(self, arms: Arms | None, arm: Arm | None) -> None:
        self._arms = arms
        self._arm = arm

    @contextmanager
    def no_answer(self) -> Iterator[None]:
        """Around all attempts: an error that leaves them is the outcome."""
        try:
            yield
        except BestiaryError as error:
            self.ended(error, None)
            raise

    def ended(self, error: BestiaryError | None, first_token_s: float | None) -> None:
        arm, self._arm = self._arm, None
        if self._arms is not None and arm is not None:
            self._arms.ended(arm, error, first_token_s)
