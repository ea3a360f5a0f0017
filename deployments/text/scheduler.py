"""Who is next: which requests wait, which one gets a row, how much of its prompt runs now.

Policy alone: interactive requests before batch ones, fair between tenants
(`waiting.py`); between steps at most one prompt is half computed, and it goes on before
another begins; candidates of a request that has its prompt computed, and rows that gave
way and come back, go before what newly begins.
Where every row is taken and an interactive request waits, a batch row gives way.
Knows no tensors and no clock but the times it is given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.schemas.text import Priority
from deployments.text.generation import Generation
from deployments.text.rows import Occupant
from deployments.text.swap import Suspended
from deployments.text.waiting import WaitingRequests

KEY_BLOCK = 32  # tokens; a tile of AMX holds as many in bfloat16


@dataclass(slots=True, eq=False)
class Prefill:
    """Tokens that are being computed into a row.

    They are a request's prompt, or all tokens of a sequence that lost its KV.
    """

    generation: Generation
    row: int
    tokens: NDArray[np.int64]
    done: int = 0  # tokens in the row
    resumes: Occupant | None = None

    def next_stop(self, budget: int, *, aligned: bool) -> int:
        """Where the next chunk ends; how a prompt is cut must not show in its answer.

        `aligned`: for a graph that sums over keys in blocks, the cuts lie between blocks.
        Else one token is never left alone: a run of one takes other kernels than a longer
        one, with other last bits.
        """
        if aligned:
            stop = min(self.done + budget, len(self.tokens))
            whole = stop // KEY_BLOCK * KEY_BLOCK
            return whole if stop < len(self.tokens) and whole > self.done else stop
        left = len(self.tokens) - self.done
        take = min(budget, left)
        if left - take == 1:
            take = left if take < 3 else take - 1
        return self.done + take


class Scheduler:
    """`max_waiting` bounds the requests that have no row yet."""

    def __init__(self, slots: int, max_waiting: int) -> None:
        self.max_waiting = max_waiting
        self._slots = slots
        self._waiting = WaitingRequests(max_waiting)
        self._prefills: list[Prefill] = []  # begun in this step or before, in order
        self._forking: deque[Generation] = deque()  # prompt computed, candidates want rows
        self._suspended: deque[Suspended] = deque()

    @property
    def waiting(self) -> int:
        """Requests."""
        return len(self._waiting)

    @property
    def prefilling(self) -> tuple[Prefill, ...]:
        """What is being computed: one at most between steps."""
        return tuple(self._prefills)

    @property
    def suspended(self) -> int:
        """Sequences."""
        return len(self._suspended)

    @property
    def idle(self) -> bool:
        return not (self._waiting or self._prefills or self._forking or self._suspended)

    def held(self) -> list[Generation]:
        """Everyone who has a candidate that does not decode yet."""
        begun = [one.generation for one in self._prefills]
        return [*begun, *self._forking, *self._waiting]

    def add(self, generation: Generation, retry_after_s: float) -> None:
        """Raises Overloaded where the queue is full."""
        self._waiting.add(generation, retry_after_s)

    def charge(self, generation: Generation, generated_tokens: int) -> None:
        """Work that was done for a request, for fairness between tenants."""
        self._waiting.charge(generation.request.tenant, generated_tokens=generated_tokens)

    def remove(self, generation: Generation) -> list[Suspended]:
        """Forgets a request, wherever it is; what of it was suspended is the caller's to free."""
        self._prefills = [one for one in self._prefills if one.generation is not generation]
        if generation in self._forking:
            self._forking.remove(generation)
        self._waiting.remove(generation)
        gone = [one for one in self._suspended if one.occupant.generation is generation]
        self._suspended = deque(one for one in self._suspended if one not in gone)
        return gone

    def victim(self, rows: Iterable[Occupant]) -> int | None:
        """The row that has to give way, if one has to: the batch row that began last."""
        rows = list(rows)
        free = self._slots - len(rows) - len(self._prefills)
        if free > 0 or not self._waiting.has(Priority.INTERACTIVE):
            return None
        batch = [
            (one.generation.scheduled_s or 0.0, row)
            for row, one in enumerate(rows)
            if one.generation.request.priority is Priority.BATCH
        ]
        return max(batch)[1] if batch else None

    def suspend(self, suspended: Suspended) -> None:
        self._suspended.append(suspended)

    def next_back(self, decoding: int) -> Suspended | None:
        """A suspended sequence that gets a row now, its KV kept; taken off the list.

        One that lost its KV comes back through `begin`.
        """
        if not self._suspended or not self._may_return(decoding):
            return None
        return self._suspended.popleft() if self._suspended[0].kv is not None else None

    def next_fork(self, decoding: int) -> Generation | None:
        """A request that has a candidate to start from the computed prompt, if a row is free."""
        if not self._forking or decoding + len(self._prefills) >= self._slots:
            return None
        first = self._forking[0]
        gives_way = first.request.priority is Priority.BATCH
        return None if gives_way and self._waiting.has(Priority.INTERACTIVE) else first

    def forked(self) -> None:
        """The candidate that `next_fork` asked for was started, or its request is gone."""
        if self._forking and self._forking[0].started == len(self._forking[0].sequences):
            self._forking.popleft()

    def begin(self, decoding: int) -> Prefill | None:
        """Another one to compute, above `decoding` rows and what is being computed already."""
        row = max([decoding, *(one.row + 1 for one in self._prefills)])
        if row >= self._slots:
            return None
        begun = self._begun(row)
        if begun is not None:
            self._prefills.append(begun)
        return begun

    def prefilled(self, done: Prefill) -> None:
        """The tokens are computed and their sequence decodes, or the request is gone."""
        if done not in self._prefills:
            return
        self._prefills.remove(done)
        if done.resumes is not None:
            return
        if done.generation.started == len(done.generation.sequences):
            return
        if done.generation.request.priority is Priority.INTERACTIVE:
            self._forking.appendleft(done.generation)
        else:
            self._forking.append(done.generation)

    def _begun(self, row: int) -> Prefill | None:
        if self._waiting.has(Priority.INTERACTIVE) and not self._interactive_forks():
            return self._of_waiting(Priority.INTERACTIVE, row)
        if self._forking:
            return None  # its candidates come first, as soon as a row is free
        if self._suspended:
            return self._of_suspended(row)
        if self._waiting.has(Priority.BATCH):
            return self._of_waiting(Priority.BATCH, row)
        return None

    def _interactive_forks(self) -> bool:
        return any(one.request.priority is Priority.INTERACTIVE for one in self._forking)

    def _of_waiting(self, priority: Priority, row: int) -> Prefill:
        generation = self._waiting.pop(priority)
        return Prefill(generation, row, generation.request.prompt)

    def _of_suspended(self, row: int) -> Prefill | None:
        if self._suspended[0].kv is not None:
            return None  # `next_back` has it
        occupant = self._suspended.popleft().occupant
        tokens = np.array(occupant.tokens[:-1], np.int64)  # the last one is not in the row yet
        return Prefill(occupant.generation, row, tokens, resumes=occupant)

    def _may_return(self, decoding: int) -> bool:
        taken = decoding + len(self._prefills)
        return taken < self._slots and not self._waiting.has(Priority.INTERACTIVE)
