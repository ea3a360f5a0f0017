"""One request's chunks, made from what happens to its jobs. Encodes files: not on the event loop.

Of several candidates the one with the best score is kept; without a scorer that is refused before.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bestiary.errors import EngineFailure
from bestiary.schemas.image import (
    GeneratedImage,
    ImageChunk,
    ImageFormat,
    ImageWork,
    Picture,
)
from bestiary.schemas.text import EngineTimings
from deployments.image.decoding import Pixels
from deployments.image.diffusion.engine import Event, Job
from deployments.image.diffusion.given import Given
from deployments.image.diffusion.setting import Setting
from deployments.image.pixels import Floats, to_pixels
from deployments.image.provenance import Provenance
from deployments.image.writing import write_picture

SHORTEST_NEWS_S = 0.2  # between two chunks that tell of nothing but progress


@dataclass(slots=True)
class Clock:
    """When what began, by `time.perf_counter`."""

    arrived: float
    encoded_s: float = 0.0  # text and pictures that were given

    def timings(self, began: float | None) -> EngineTimings:
        """`began`: when the first picture was let in."""
        now = time.perf_counter()
        start = began or now
        return EngineTimings(
            queue_s=max(0.0, start - self.arrived - self.encoded_s),
            prefill_s=self.encoded_s,
            decode_s=max(0.0, now - start),
            total_s=now - self.arrived,
        )


@dataclass(frozen=True, slots=True)
class Writing:
    """How files are made of pixels."""

    setting: Setting
    given: Given
    format: ImageFormat
    provenance: Provenance  # without a seed

    def picture(self, values: Floats, seed: int, *, preview: bool = False) -> Picture:
        """Raises EngineFailure where the model computed no numbers."""
        if not np.isfinite(values).all():
            raise EngineFailure("the model computed no numbers; another sampler may")
        pixels = self._kept(self._cut(to_pixels(values)))
        said = self.provenance
        own = Provenance(
            said.model,
            said.revision,
            said.task,
            seed,
            said.prompt_sha256,
            said.sampler,
            said.steps,
            said.guidance_scale,
            preview,
        )
        return write_picture(pixels, self.format, own)

    def _cut(self, pixels: Pixels) -> Pixels:
        if self.setting.size is None:
            return pixels
        width, height = self.setting.size
        return np.ascontiguousarray(pixels[:height, :width])

    def _kept(self, pixels: Pixels) -> Pixels:
        """Outside a mask the picture that was given, to the byte."""
        if self.given.mask is None or self.given.image is None:
            return pixels
        return np.where(self.given.mask[:, :, None], pixels, self.given.image)


@dataclass(slots=True)
class Candidate:
    job: Job
    values: Floats
    score: float | None = None


@dataclass(slots=True)
class Answer:
    """`seeds`: for each picture those of its candidates; jobs are numbered through."""

    writing: Writing
    seeds: Sequence[Sequence[int]]
    clock: Clock
    _ended: dict[int, list[Candidate]] = field(default_factory=dict)
    _done: int = 0
    _began: float | None = None
    _told_s: float = 0.0

    def place(self, job: Job) -> tuple[int, int]:
        """Of its picture, and among that one's candidates."""
        return divmod(job.index, len(self.seeds[0]))

    def finished(self, events: Sequence[Event]) -> list[list[Candidate]]:
        """The candidates of pictures that are complete with these events."""
        complete = []
        for event in events:
            job = event.job
            self._began = min(job.began_s or self.clock.arrived, self._began or np.inf)
            if event.finished is None:
                continue
            index, _ = self.place(job)
            ended = self._ended.setdefault(index, [])
            ended.append(Candidate(job, event.finished))
            if len(ended) == len(self.seeds[index]):
                complete.append(sorted(ended, key=lambda one: one.job.index))
        return complete

    def progress(self, events: Sequence[Event]) -> list[ImageChunk]:
        """Previews, and now and then how far things are. Candidates that compete show nothing."""
        if len(self.seeds[0]) > 1:
            return []
        now = time.perf_counter()
        news = now - self._told_s >= SHORTEST_NEWS_S
        chunks = []
        for event in events:
            if event.finished is not None or not (news or event.denoised is not None):
                continue
            index, candidate = self.place(event.job)
            seed = self.seeds[index][candidate]
            preview = None
            if event.denoised is not None:
                preview = self.writing.picture(event.denoised, seed, preview=True)
            chunks.append(ImageChunk(index, event.done, event.job.course.steps, preview))
        if chunks:
            self._told_s = now
        return chunks

    def last(self, candidates: Sequence[Candidate]) -> ImageChunk:
        """The best one of a picture's candidates."""
        best = max(candidates, key=lambda one: one.score or 0.0)
        index, place = self.place(best.job)
        seed = self.seeds[index][place]
        picture = self.writing.picture(best.values, seed)
        scores = tuple(one.score for one in candidates if one.score is not None)
        steps = best.job.course.steps
        work = ImageWork(
            steps,
            sum(one.job.course.evaluations for one in candidates),
            sum(one.job.seconds for one in candidates),
            sum(one.job.course.cached for one in candidates),
        )
        image = GeneratedImage(picture, seed, work, best.score, scores)
        self._done += 1
        timings = self.timings() if self._done == len(self.seeds) else None
        return ImageChunk(index, steps, steps, image=image, timings=timings)

    def timings(self) -> EngineTimings:
        return self.clock.timings(self._began)
