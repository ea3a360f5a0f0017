"""Who is next: which requests wait, which one gets a row, how much of its prompt runs now.

Policy alone: first come, first served; one prompt is computed at a time, one chunk
per step; candidates of a request that has its prompt computed go before everyone
who waits. Knows no tensors and no clock but the times it is given.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from bestiary.errors import Overloaded
from deployments.text.generation import Generation


@dataclass(frozen=True, slots=True)
class Chunk:
    """Prompt tokens `start..stop` of a request are to be computed in `row`."""

    generation: Generation
    row: int
    start: int
    stop: int

    @property
    def completes_prompt(self) -> bool:
        return self.stop == len(self.generation.request.prompt)


class Scheduler:
    """`max_waiting` bounds the requests that have no row yet."""

    def __init__(self, slots: int, prefill_chunk: int, max_waiting: int) -> None:
        self.max_waiting = max_waiting
        self._slots = slots
        self._prefill_chunk = prefill_chunk
        self._waiting: deque[Generation] = deque()
        self._prefilling: Generation | None = None
        self._prefill_row = 0
        self._forking: Generation | None = None  # its prompt is computed, candidates want rows

    @property
    def waiting(self) -> int:
        """Requests."""
        return len(self._waiting)

    @property
    def prefilling(self) -> Generation | None:
        return self._prefilling

    @property
    def idle(self) -> bool:
        return not self._waiting and self._prefilling is None and self._forking is None

    def held(self) -> list[Generation]:
        """Everyone who has a candidate that does not decode yet."""
        begun = [one for one in (self._prefilling, self._forking) if one is not None]
        return begun + list(self._waiting)

    def add(self, generation: Generation, retry_after_s: float) -> None:
        """Raises Overloaded where the queue is full."""
        if len(self._waiting) >= self.max_waiting:
            message = f"{self.max_waiting} requests are waiting already"
            raise Overloaded(message, retry_after_s)
        self._waiting.append(generation)

    def remove(self, generation: Generation) -> None:
        """Forgets a request, wherever it is; one that is not here is no fault."""
        if self._prefilling is generation:
            self._prefilling = None
        elif self._forking is generation:
            self._forking = None
        elif generation in self._waiting:
            self._waiting.remove(generation)

    def next_fork(self, decoding: int) -> Generation | None:
        """A request that has a candidate to start from the computed prompt, if a row is free."""
        return self._forking if decoding < self._slots else None

    def forked(self) -> None:
        """The candidate that `next_fork` asked for was started, or its request is gone."""
        begun = self._forking
        if begun is not None and begun.started == len(begun.sequences):
            self._forking = None

    def next_chunk(self, decoding: int) -> Chunk | None:
        """What to compute in this step while `decoding` rows are taken."""
        if self._prefilling is None and not self._begin(decoding):
            return None
        assert self._prefilling is not None
        start = self._prefilling.computed
        stop = min(start + self._prefill_chunk, len(self._prefilling.request.prompt))
        return Chunk(self._prefilling, self._prefill_row, start, stop)

    def prefilled(self) -> None:
        """The prompt is computed and its first candidate started, or the request is gone."""
        begun, self._prefilling = self._prefilling, None
        if begun is not None and begun.started < len(begun.sequences):
            self._forking = begun

    def _begin(self, decoding: int) -> bool:
        if not self._waiting or self._forking is not None or decoding == self._slots:
            return False
        self._prefilling = self._waiting.popleft()
        self._prefill_row = decoding
        return True
