"""One autoregressive model without Ray: samples, completions and likelihoods.

Rows of a picture are told as they appear. What a picture becomes depends on its seed, and on the
last bits of the network's sums only where a draw falls on the border of two codes.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from bestiary.errors import EngineFailure
from bestiary.garden import InstalledModel
from bestiary.garden.tasks import Task
from bestiary.schemas.image import (
    CompletionRequest,
    EncodedImage,
    EncodeRequest,
    EncodeResult,
    GeneratedImage,
    GenerationRequest,
    ImageChunk,
    ImageCounts,
    ImageWork,
    Likelihood,
    LikelihoodRequest,
    LikelihoodResult,
    Picture,
    PictureRequest,
    SampleRequest,
)
from bestiary.schemas.replica import ReplicaLoad
from bestiary.schemas.text import EngineTimings
from deployments.image.autoregressive.choosing import Choice, Doubles
from deployments.image.autoregressive.codes import Codes, PixelCodes
from deployments.image.autoregressive.engine import AutoregressiveEngine, Event, Job
from deployments.image.autoregressive.loop import AutoregressiveLoop
from deployments.image.call import pictures_given
from deployments.image.decoding import Pixels
from deployments.image.limits import ImageLimits
from deployments.image.provenance import Provenance
from deployments.image.refusals import (
    class_of,
    facts_of,
    refuse_best_of,
    refuse_fields,
    refuse_other_size,
)
from deployments.image.seeds import seeds_of
from deployments.image.service import TASK_OF_REQUEST, ImageService
from deployments.image.writing import write_picture
from deployments.turn_loop import LoopLimits

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Warmth:
    """How codes are chosen where a request does not say."""

    temperature: float = 1.0
    top_k: int = 0  # 0: all


@dataclass(slots=True)
class _Picture:
    """What is known of one that is being drawn."""

    seed: int
    shown: int  # rows that were told


class AutoregressiveService(ImageService):
    """See `ImageService`."""

    def __init__(
        self,
        model: InstalledModel,
        engine: AutoregressiveEngine,
        codes: PixelCodes,
        warmth: Warmth,
        limits: ImageLimits,
        loop_limits: LoopLimits,
    ) -> None:
        super().__init__(model.card)
        self._facts = facts_of(model.card)
        self._revision = model.revision
        self._engine, self._codes, self._warmth = engine, codes, warmth
        self._limits = limits
        self._opening = ThreadPoolExecutor(1, thread_name_prefix="pictures")
        self._running = ThreadPoolExecutor(1, thread_name_prefix="pixels")
        self._loop = AutoregressiveLoop(engine, loop_limits, self._running)
        self._images = self._cancelled = 0

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()
        self._opening.shutdown(wait=False, cancel_futures=True)
        self._running.shutdown(wait=False, cancel_futures=True)

    def load(self) -> ReplicaLoad:
        return self._loop.load()

    def counts(self) -> ImageCounts:
        counted = self._engine.counts
        return ImageCounts(
            images=self._images,
            runs=counted.runs,
            evaluations=counted.rows,
            cancelled=self._cancelled,
        )

    def check(self) -> None:
        if not self._loop.is_alive:
            raise EngineFailure("the model's loop has stopped")

    async def generate_images(self, request: PictureRequest) -> AsyncGenerator[ImageChunk, None]:
        task = TASK_OF_REQUEST[type(request)]
        self.require(task)
        refuse_best_of(self.card, request)
        self._limits.check_candidates(request.images, 1)
        clock = _Clock(request.deadline_s)
        first, given = await self._beginning(request)
        seeds = [own[0] for own in seeds_of(request)]
        choices = [self._choice(request, seed) for seed in seeds]
        # What was given is no news.
        pictures = [_Picture(seed, len(given) // self._facts.width) for seed in seeds]
        left = request.images
        events = self._loop.run_admitted(
            lambda owner: [
                Job(owner, index, first, given, choice) for index, choice in enumerate(choices)
            ],
            clock.until,
        )
        try:
            async with aclosing(events) as turns:
                async for turn in turns:
                    for event in turn:
                        clock.saw(event)
                        chunk = await self._news(request, task, event, pictures[event.job.index])
                        if chunk is None:
                            continue
                        if chunk.image is not None:
                            left -= 1
                            self._images += 1
                        yield chunk if left else replace(chunk, timings=clock.timings())
        finally:
            self._cancelled += left

    async def likelihood(self, request: LikelihoodRequest) -> LikelihoodResult:
        self.require(Task.LIKELIHOOD)
        self._limits.check_candidates(len(request.images), 1)
        clock = _Clock(request.deadline_s)
        first = self._codes.first_token(class_of(self.card, request.label))
        coded = await self._coded(request.images, "images")
        events = self._loop.run_admitted(
            lambda owner: [
                Job(owner, index, first, codes.tolist(), None) for index, codes in enumerate(coded)
            ],
            clock.until,
        )
        found: dict[int, Likelihood] = {}
        async with aclosing(events) as turns:
            async for turn in turns:
                for event in turn:
                    clock.saw(event)
                    assert event.likelihoods is not None  # a job without a choice
                    found[event.job.index] = likelihood_of(event.likelihoods, self._facts.width)
        return LikelihoodResult(tuple(found[i] for i in range(len(coded))), clock.timings())

    async def encode_image(self, request: EncodeRequest) -> EncodeResult:
        self.require(Task.ENCODE_IMAGE)
        refuse_fields(self.card, request, "seed")  # nothing is drawn
        self._limits.check_candidates(len(request.images), 1)
        clock = _Clock(request.deadline_s)
        shape = (len(request.images), 1, self._facts.height, self._facts.width)
        coded = np.stack(await self._coded(request.images, "images"))
        return EncodeResult(coded.astype(np.float32).reshape(shape), clock.timings())

    async def _beginning(self, request: PictureRequest) -> tuple[int, list[int]]:
        """The first token, and the codes that are given. Raises InvalidRequest and its kin."""
        if isinstance(request, CompletionRequest):
            (whole,) = await self._coded((request.image,), "image")
            kept = int(request.keep * self._facts.height) * self._facts.width
            return self._codes.first_token(None), whole[:kept].tolist()
        assert isinstance(request, SampleRequest)  # no other task has a row in TASKS
        refuse_fields(self.card, request, "denoising", "truncation", "latent_terms")
        refuse_other_size(self.card, request.width, request.height)
        return self._codes.first_token(class_of(self.card, request.label)), []

    def _choice(self, request: PictureRequest, seed: int) -> Choice:
        assert isinstance(request, SampleRequest | CompletionRequest)
        own = self._warmth
        return Choice(
            seed,
            own.temperature if request.temperature is None else request.temperature,
            own.top_k if request.top_k is None else request.top_k,
        )

    async def _news(
        self, request: GenerationRequest, task: Task, event: Event, picture: _Picture
    ) -> ImageChunk | None:
        """Of a row that is whole now, or of the picture's end."""
        rows = len(event.codes) // self._facts.width
        if rows == picture.shown and not event.done:
            return None
        picture.shown = rows
        length = self._facts.width * self._facts.height
        chunk = ImageChunk(event.job.index, step=len(event.codes), steps=length)
        said = Provenance(model=self.card.id, revision=self._revision, task=task, seed=picture.seed)
        if event.done:
            work = ImageWork(
                steps=length - len(event.job.codes),
                evaluations=event.evaluations,
                seconds=event.read_s + event.write_s,
            )
            written = await self._written(event.codes, request, said)
            return replace(chunk, image=GeneratedImage(written, picture.seed, work))
        given = len(event.job.codes) // self._facts.width
        if rows - given in shown_rows(self._facts.height - given, request.previews):
            preview = await self._written(event.codes, request, replace(said, preview=True))
            return replace(chunk, preview=preview)
        return chunk

    async def _written(
        self, codes: Sequence[int], request: GenerationRequest, said: Provenance
    ) -> Picture:
        return await self._off_loop(
            lambda: write_picture(self._codes.pixels_of(codes), request.format, said)
        )

    async def _coded(self, images: Sequence[EncodedImage], param: str) -> list[Codes]:
        def made() -> list[Codes]:
            given: list[Pixels] = pictures_given(images, self._facts, self._limits, param)
            return [self._codes.codes_of(pixels) for pixels in given]

        return await self._off_loop(made)

    async def _off_loop(self, make: Callable[[], Made]) -> Made:
        return await asyncio.get_running_loop().run_in_executor(self._opening, make)


class _Clock:
    """Where one request's time goes."""

    def __init__(self, deadline_s: float | None) -> None:
        self._arrived = time.perf_counter()
        self.until = None if deadline_s is None else self._arrived + deadline_s
        self._began: float | None = None  # its first turn ended
        self._read_s = 0.0

    def saw(self, event: Event) -> None:
        if self._began is None:
            self._began = time.perf_counter()
        self._read_s = max(self._read_s, event.read_s)

    def timings(self) -> EngineTimings:
        now = time.perf_counter()
        began = now if self._began is None else self._began
        waited = max(0.0, began - self._arrived - self._read_s)
        return EngineTimings(
            queue_s=waited,
            prefill_s=self._read_s,
            decode_s=now - began,
            total_s=now - self._arrived,
        )


def likelihood_of(of_codes: Doubles, width: int) -> Likelihood:
    """Of natural logarithms, code by code."""
    bits = -of_codes / math.log(2)
    return Likelihood(
        log_likelihood=float(of_codes.sum()),
        bits_per_dimension=float(bits.mean()),
        dimensions=len(of_codes),
        per_row=tuple(float(row.mean()) for row in bits.reshape(-1, width)),
    )


def shown_rows(rows: int, previews: int) -> frozenset[int]:
    """After which of so many rows a preview comes: evenly spread, the last is none."""
    places = (round(rows * number / (previews + 1)) for number in range(1, previews + 1))
    return frozenset(place for place in places if 0 < place < rows)
