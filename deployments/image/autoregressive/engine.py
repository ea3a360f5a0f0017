"""The autoregressive engine: a turn draws the next code of every row, wherever each is.

Rows of different requests, at different places, run as one batch; what has been given is read in
one go. Blocks; knows codes, no pictures. One thread at a time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bestiary.errors import EngineFailure
from deployments.image.autoregressive.cache import CacheShape, RowCache
from deployments.image.autoregressive.choosing import Choice, Doubles, choose, log_likelihoods
from deployments.image.pixels import Floats
from deployments.kernels import image_names as names
from deployments.kernels.image_session import Networks


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One picture: to be drawn from `codes` on, or, without a choice, whose likelihood to tell."""

    owner: object
    index: int
    first: int  # the token that begins the sequence
    codes: Sequence[int]
    choice: Choice | None


@dataclass(frozen=True, slots=True)
class Event:
    """What a turn did for one job. `seconds`: its share of the runs so far."""

    job: Job
    codes: Sequence[int]  # all so far
    done: bool
    read_s: float = 0.0  # of what was given
    write_s: float = 0.0
    evaluations: int = 0
    likelihoods: Doubles | None = None  # of each code, where it was asked for
    error: EngineFailure | None = None


@dataclass(slots=True, eq=False)
class _Row:
    job: Job
    codes: list[int]
    evaluations: int = 0
    read_s: float = 0.0
    write_s: float = 0.0


@dataclass(frozen=True, slots=True)
class EngineCounts:
    runs: int = 0
    rows: int = 0


@dataclass(slots=True)
class _Waiting:
    drawing: deque[Job] = field(default_factory=deque)
    scoring: deque[Job] = field(default_factory=deque)


class AutoregressiveEngine:
    """`length` codes a picture, of which there are `count`; `rows` at a time."""

    def __init__(self, networks: Networks, length: int, count: int, rows: int) -> None:
        facts = networks.facts(names.WRITER)
        shape = CacheShape(
            *(int(facts[name]) for name in ("layers", "heads", "head_width", "positions"))
        )
        self.counts = EngineCounts()
        self.rows = rows
        self._networks = networks
        self._length, self._count = length, count
        self._cache_shape = shape
        self._waiting = _Waiting()
        self._running: list[_Row] = []
        self._cache = RowCache(shape)

    @property
    def idle(self) -> bool:
        return not (self._running or self._waiting.drawing or self._waiting.scoring)

    @property
    def places_left(self) -> int:
        """Codes that are to be drawn, by all who run or wait; read ones count as one each."""
        drawing = sum(self._length - len(job.codes) for job in self._waiting.drawing)
        running = sum(self._length - len(row.codes) for row in self._running)
        return drawing + running + len(self._waiting.scoring)

    def submit(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            (self._waiting.scoring if job.choice is None else self._waiting.drawing).append(job)

    def cancel(self, owner: object) -> None:
        """Its rows are gone with the next turn."""
        for queue in (self._waiting.drawing, self._waiting.scoring):
            left = [job for job in queue if job.owner is not owner]
            queue.clear()
            queue.extend(left)
        self._leave([row for row in self._running if row.job.owner is owner])

    def reset(self) -> None:
        """Forgets everyone, after a run that failed."""
        self._waiting, self._running = _Waiting(), []
        self._cache = RowCache(self._cache_shape)

    def turn(self) -> list[Event]:
        """Reads what is given of some, then draws the next code of every row."""
        events = self._score()
        self._admit()
        return events + self._step()

    def _score(self) -> list[Event]:
        jobs = _some(self._waiting.scoring, self.rows)
        if not jobs:
            return []
        ids = np.array([[job.first, *job.codes[:-1]] for job in jobs], np.int64)
        outputs, seconds = self._run(names.READER, len(jobs), {names.IDS: ids})
        events = []
        for job, logits in zip(jobs, outputs[0][..., : self._count], strict=True):
            found = log_likelihoods(logits, np.asarray(job.codes))
            events.append(Event(job, job.codes, True, seconds, 0.0, 1, found, _broken(logits)))
        return events

    def _admit(self) -> None:
        """Rows that are free go to who waits; what these were given is read together."""
        jobs = _some(self._waiting.drawing, self.rows - len(self._running))
        if not jobs:
            return
        before = len(self._running)
        self._cache.keep(range(before), len(jobs))
        self._running += [_Row(job, list(job.codes)) for job in jobs]
        given = [row for row in self._running[before:] if row.codes]
        if not given:
            return
        # A place's token is the code before it, so the last one is left for the first step.
        longest = max(len(row.codes) for row in given)
        ids = np.zeros((len(given), longest), np.int64)
        for place, row in enumerate(given):
            ids[place, : len(row.codes)] = [row.job.first, *row.codes[:-1]]
        outputs, seconds = self._run(names.READER, len(given), {names.IDS: ids})
        self._cache.reserve(longest)
        for place, row in enumerate(given):
            of_row = [one[place] for one in outputs[1:]]
            self._cache.fill(self._running.index(row), len(row.codes), of_row)
            row.read_s, row.evaluations = seconds, 1

    def _step(self) -> list[Event]:
        rows = self._running
        if not rows:
            return []
        places = np.array([len(row.codes) for row in rows], np.int64)
        tokens = [row.codes[-1] if row.codes else row.job.first for row in rows]
        self._cache.reserve(int(places.max()) + 1)
        given = {names.TOKENS: np.array(tokens, np.int64), names.PLACES: places}
        outputs, seconds = self._run(names.WRITER, len(rows), {**given, **self._cache.given()})
        self._cache.add(places, outputs[1:])
        events = []
        for row, logits in zip(rows, outputs[0][:, : self._count], strict=True):
            error, choice = _broken(logits), row.job.choice
            assert choice is not None  # those without one are scored
            if error is None:
                row.codes.append(choose(logits, choice, len(row.codes)))
            row.evaluations += 1
            row.write_s += seconds
            done = len(row.codes) == self._length
            events.append(
                Event(
                    row.job,
                    tuple(row.codes),
                    done,
                    row.read_s,
                    row.write_s,
                    row.evaluations,
                    error=error,
                )
            )
        over = [
            row
            for row, event in zip(rows, events, strict=True)
            if event.done or event.error is not None
        ]
        self._leave(over)
        return events

    def _leave(self, rows: Sequence[_Row]) -> None:
        if rows:
            kept = [place for place, row in enumerate(self._running) if row not in rows]
            self._running = [self._running[place] for place in kept]
            self._cache.keep(kept, 0)

    def _run(
        self, part: str, rows: int, given: dict[str, np.ndarray]
    ) -> tuple[tuple[Floats, ...], float]:
        """What it gives, and each row's share of the seconds."""
        started = time.perf_counter()
        outputs = self._networks.run(part, given)
        self.counts = EngineCounts(self.counts.runs + 1, self.counts.rows + rows)
        return outputs, (time.perf_counter() - started) / rows


def _some(queue: deque[Job], most: int) -> list[Job]:
    return [queue.popleft() for _ in range(min(most, len(queue)))]


def _broken(logits: Floats) -> EngineFailure | None:
    if np.isfinite(logits).all():
        return None
    return EngineFailure("the model's output is not finite")
