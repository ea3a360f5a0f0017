"""The engine: pictures that come and go, one step of all of them at a time.

A turn lets in the pictures that there are rows for, runs the network once over the rows of all of
them, whatever their timesteps, step counts and samplers, and lets each take its step. Only pictures
of another size need a run of their own. Blocks; knows no request and no clock but for receipts. One
thread calls it.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from bestiary.schemas.image import ImageCounts
from deployments.image.diffusion.codec import Codec
from deployments.image.diffusion.course import Course, Row
from deployments.image.pixels import Floats

T = TypeVar("T")


class Network(Protocol):
    """Rows of one shape -> a prediction for each: `network.UNet`."""

    def predict(self, rows: Sequence[Row]) -> Floats: ...


@dataclass(frozen=True, slots=True)
class Residual:
    """The model computes what is to be added to `base`, times `scale`: [channels, h, w]."""

    base: Floats
    scale: float

    def applied(self, values: Floats) -> Floats:
        added: Floats = self.base + np.float32(self.scale) * values
        return added


@dataclass(slots=True, eq=False)
class Job:
    """One picture. `owner` groups those of one request, between which rows are shared out."""

    owner: object
    index: int  # within its request
    course: Course
    residual: Residual | None = None
    # After so many steps: a preview comes. 0 is before the first.
    preview_after: frozenset[int] = frozenset()
    watched: bool = False  # previews show the noisy state too
    began_s: float | None = None
    seconds: float = 0.0  # its share of the runs


@dataclass(frozen=True, slots=True)
class Event:
    """What a turn did to one job. Pictures are [channels, height, width], -1..1."""

    job: Job
    done: int  # steps
    denoised: Floats | None = None  # a preview
    noisy: Floats | None = None
    finished: Floats | None = None


@dataclass(slots=True)
class _Shown:
    """Values that are to become pixels at the end of the turn."""

    job: Job
    done: int
    denoised: Floats | None = None
    noisy: Floats | None = None
    finished: Floats | None = None


class DiffusionEngine:
    """`rows` bounds those of one turn. `denoised(seen, prediction, timestep)`: `NoiseLevels`'."""

    def __init__(
        self,
        network: Network,
        codec: Codec,
        denoised: Callable[[Floats, Floats, float], Floats],
        rows: int,
    ) -> None:
        self.codec = codec
        self.rows = rows
        self.counts = ImageCounts()
        self._network = network
        self._denoised = denoised
        self._waiting: dict[object, deque[Job]] = {}
        self._running: list[Job] = []

    @property
    def idle(self) -> bool:
        return not self._running and not self._waiting

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting_steps(self) -> int:
        """Steps of the pictures that are not let in yet."""
        return sum(job.course.steps for queue in self._waiting.values() for job in queue)

    def submit(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._waiting.setdefault(job.owner, deque()).append(job)

    def cancel(self, owner: object) -> None:
        """Its pictures take no further step."""
        left = len(self._waiting.pop(owner, ()))
        kept = [job for job in self._running if job.owner is not owner]
        left += len(self._running) - len(kept)
        self._running = kept
        self._count(cancelled=left)

    def reset(self) -> None:
        """Forgets everything: after a run that broke."""
        self._waiting.clear()
        self._running.clear()

    def turn(self) -> list[Event]:
        """One step of every picture that runs."""
        shown = self._let_in()
        wanted = [(job, job.course.rows()) for job in self._running]
        predictions = self._predict([(job, row) for job, rows in wanted for row in rows])
        for job, rows in wanted:
            if not rows:
                self._count(cached_steps=1)
            shown.append(self._step(job, predictions.get(id(job), [])))
        self._running = [job for job in self._running if not job.course.finished]
        return self._pictured(shown)

    def _let_in(self) -> list[_Shown]:
        """Owners in turn, one picture each, so that a large request does not hold up a small."""
        free = self.rows - sum(job.course.most_rows for job in self._running)
        shown: list[_Shown] = []
        while self._waiting:
            owner, queue = next(iter(self._waiting.items()))
            needed = queue[0].course.most_rows
            if needed > free and self._running:
                break  # it waits for rows to be free, and nobody overtakes it
            job = queue.popleft()
            del self._waiting[owner]
            if queue:
                self._waiting[owner] = queue  # behind all others
            free -= needed
            job.began_s = time.perf_counter()
            self._running.append(job)
            if 0 in job.preview_after:
                shown.append(_Shown(job, 0, noisy=job.course.seen if job.watched else None))
        return shown

    def _predict(self, wanted: Sequence[tuple[Job, Row]]) -> dict[int, list[Floats]]:
        """By job, in the order of its rows. Rows of one shape share a run."""
        groups: dict[tuple[object, ...], list[tuple[Job, Row]]] = defaultdict(list)
        for job, row in wanted:
            groups[_shape(row)].append((job, row))
        found: dict[int, list[Floats]] = defaultdict(list)
        for group in groups.values():
            for part in _parts(group, self.rows):
                started = time.perf_counter()
                made = self._network.predict([row for _, row in part])
                share = (time.perf_counter() - started) / len(part)
                for (job, _), one in zip(part, made, strict=True):
                    job.seconds += share
                    found[id(job)].append(one)
                self._count(runs=1, evaluations=len(part))
        return found

    def _step(self, job: Job, predictions: list[Floats]) -> _Shown:
        course = job.course
        previewed = course.done + 1 in job.preview_after
        seen, timestep = (course.seen, course.timestep) if previewed else (None, 0.0)
        started = time.perf_counter()
        course.advance(predictions)
        job.seconds += time.perf_counter() - started
        shown = _Shown(job, course.done)
        if previewed and seen is not None and course.prediction is not None:
            shown.denoised = self._denoised(
                seen[: len(course.prediction)], course.prediction, timestep
            )
            shown.noisy = course.seen if job.watched else None
        if course.finished:
            shown.finished = course.sample
            self._count(images=1)
        return shown

    def _pictured(self, shown: Sequence[_Shown]) -> list[Event]:
        """Everything that is to be seen goes through the codec, in as few runs as there are
        sizes."""
        denoised = self._decoded(shown, [one.denoised for one in shown])
        noisy = self._decoded(shown, [one.noisy for one in shown])
        finished = self._decoded(shown, [one.finished for one in shown])
        return [
            Event(one.job, one.done, *pictures)
            for one, *pictures in zip(shown, denoised, noisy, finished, strict=True)
        ]

    def _decoded(
        self, shown: Sequence[_Shown], values: Sequence[Floats | None]
    ) -> list[Floats | None]:
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for place, value in enumerate(values):
            if value is not None:
                groups[value.shape].append(place)
        found: list[Floats | None] = [None] * len(values)
        for places in groups.values():
            for part in _parts(places, self.rows):
                started = time.perf_counter()
                batch = np.stack([_there(values[place]) for place in part])
                pictures = self.codec.decode(batch)
                share = (time.perf_counter() - started) / len(part)
                for place, picture in zip(part, pictures, strict=True):
                    job = shown[place].job
                    job.seconds += share
                    found[place] = job.residual.applied(picture) if job.residual else picture
        return found

    def _count(
        self,
        images: int = 0,
        runs: int = 0,
        evaluations: int = 0,
        cached_steps: int = 0,
        cancelled: int = 0,
    ) -> None:
        before = self.counts
        self.counts = ImageCounts(
            before.images + images,
            before.runs + runs,
            before.evaluations + evaluations,
            before.cached_steps + cached_steps,
            before.cancelled + cancelled,
        )


def _shape(row: Row) -> tuple[object, ...]:
    states = None if row.states is None else row.states.shape
    return row.sample.shape, states, row.label is None


def _parts(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _there(value: Floats | None) -> Floats:
    assert value is not None
    return value
