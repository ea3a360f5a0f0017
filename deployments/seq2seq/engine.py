"""The engine: inputs that come and go, one step of all their rows at a time.

A turn encodes the inputs that there are rows for, length-sorted and in batches of a token
budget, and takes one step of every row. Rows of one number of beams share a run, whoever
asked for them. Blocks; knows token ids, no text, no request's fields and no clock but for
timings. One thread calls it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import EngineFailure
from deployments.kernels.seq2seq_session import EncodedSource, Step
from deployments.kernels.token_batches import plan_batches
from deployments.seq2seq.beams import BeamSearch
from deployments.seq2seq.plan import Plan
from deployments.seq2seq.search import Found, Search
from deployments.seq2seq.single import SingleRow


class Rows(Protocol):
    """Texts of one number of beams: `deployments.kernels.seq2seq_session.StepBatch`."""

    def __len__(self) -> int: ...

    def add(self, source: EncodedSource) -> int: ...

    def remove(self, place: int) -> int: ...

    def step(self, token_ids: NDArray[np.int64]) -> Step: ...

    def reorder(self, place: int, beams: Sequence[int]) -> None: ...


class Session(Protocol):
    """An open encoder-decoder: `deployments.kernels.seq2seq_session.Seq2SeqSession`."""

    def encode(self, inputs: Sequence[Sequence[int]]) -> list[EncodedSource]: ...

    def batch(self, beams: int, capacity: int) -> Rows: ...


@dataclass(slots=True, eq=False)
class Job:
    """One input. `owner` groups the inputs of one request, for which rows are shared out."""

    owner: object
    index: int  # within its request
    ids: Sequence[int]
    plan: Plan
    attention: bool
    encode_s: float = 0.0  # of the run that it was encoded in
    began_s: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """What a turn did to one job: a token that stays, its end, or its failure."""

    job: Job
    token: int | None = None
    found: Found | None = None
    error: EngineFailure | None = None


@dataclass(slots=True)
class _Place:
    job: Job
    search: Search
    source_tokens: int


@dataclass(slots=True)
class _Group:
    rows: Rows
    places: list[_Place] = field(default_factory=list)


class Seq2SeqEngine:
    def __init__(
        self,
        session: Session,
        slots: int,
        max_batch_tokens: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.slots = slots
        self._session = session
        self._max_batch_tokens = max_batch_tokens
        self._clock = clock
        self._waiting: dict[object, deque[Job]] = {}  # by owner, the next one first
        self._groups: dict[int, _Group] = {}  # by beams
        self._used = 0  # rows

    @property
    def idle(self) -> bool:
        return not self._waiting and not self._used

    @property
    def waiting_tokens(self) -> int:
        """Of sources that were not encoded yet."""
        return sum(len(job.ids) for queue in self._waiting.values() for job in queue)

    @property
    def waiting_inputs(self) -> int:
        return sum(map(len, self._waiting.values()))

    @property
    def running_inputs(self) -> int:
        return sum(len(group.places) for group in self._groups.values())

    def submit(self, jobs: Sequence[Job]) -> None:
        """Of one owner. Each plan's beams are at most `slots`."""
        for job in jobs:
            self._waiting.setdefault(job.owner, deque()).append(job)

    def cancel(self, owner: object) -> None:
        """Frees all that the owner has; no event of it comes any more."""
        self._waiting.pop(owner, None)
        for group in self._groups.values():
            for place in reversed(range(len(group.places))):
                if group.places[place].job.owner is owner:
                    self._remove(group, place)
        self._drop_empty()

    def reset(self) -> None:
        """Forgets everybody, after a fault whose extent is unknown."""
        self._waiting.clear()
        self._groups.clear()
        self._used = 0

    def turn(self) -> list[Event]:
        """Raises whatever the session raises."""
        self._admit()
        events: list[Event] = []
        for group in self._groups.values():
            events += self._step(group)
        self._drop_empty()
        return events

    def _admit(self) -> None:
        taken = self._taken()
        for batch in plan_batches([len(job.ids) for job in taken], self._max_batch_tokens):
            jobs = [taken[position] for position in batch]
            started = self._clock()
            sources = self._session.encode([job.ids for job in jobs])
            took = self._clock() - started
            for job, source in zip(jobs, sources, strict=True):
                job.began_s, job.encode_s = started, took
                self._place(job, source)

    def _taken(self) -> list[Job]:
        """One input of each owner in turn, while there are rows and the turn stays short."""
        taken: list[Job] = []
        room, rows = self._max_batch_tokens, self.slots - self._used
        while self._waiting and room > 0:
            owner, queue = next(iter(self._waiting.items()))
            if queue[0].plan.num_beams > rows:
                break  # it waits for rows to be free, and nobody overtakes it
            job = queue.popleft()
            rows -= job.plan.num_beams
            room -= len(job.ids)
            taken.append(job)
            del self._waiting[owner]
            if queue:
                self._waiting[owner] = queue  # behind all others
        return taken

    def _place(self, job: Job, source: EncodedSource) -> None:
        beams = job.plan.num_beams
        if beams not in self._groups:
            self._groups[beams] = _Group(self._session.batch(beams, self.slots // beams))
        group = self._groups[beams]
        group.rows.add(source)
        search: Search = BeamSearch(job.plan) if beams > 1 else SingleRow(job.plan, job.index)
        group.places.append(_Place(job, search, source.tokens))
        self._used += beams

    def _step(self, group: _Group) -> list[Event]:
        if not group.places:
            return []
        ids = np.array([place.search.next_tokens for place in group.places], np.int64)
        step = group.rows.step(ids)
        events: list[Event] = []
        # From the last one on: a place that is freed is filled by the last text.
        for number in reversed(range(len(group.places))):
            event = self._advance(group, number, step)
            if event is not None:
                events.append(event)
        return events

    def _advance(self, group: _Group, number: int, step: Step) -> Event | None:
        place = group.places[number]
        looked = None
        if place.job.attention and step.attention is not None:
            looked = step.attention[number, :, : place.source_tokens]
        try:
            moved = place.search.step(step.logits[number], looked)
        except EngineFailure as error:
            self._remove(group, number)
            return Event(place.job, error=error)
        if moved.found is not None:
            self._remove(group, number)
            return Event(place.job, moved.token, moved.found)
        if moved.order is not None:
            group.rows.reorder(number, moved.order)
        return None if moved.token is None else Event(place.job, moved.token)

    def _remove(self, group: _Group, number: int) -> None:
        self._used -= group.places[number].job.plan.num_beams
        group.rows.remove(number)
        last = group.places.pop()
        if number < len(group.places):
            group.places[number] = last

    def _drop_empty(self) -> None:
        """Its memory goes too, but for the rows of one beam, which are wanted again soon."""
        for beams in [b for b, group in self._groups.items() if not group.places and b > 1]:
            del self._groups[beams]
