"""One diffusion replica without Ray: typed requests in, chunks and results out.

Files are opened and written in one thread, networks run in another; nothing blocks the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TypeVar, TypeVarTuple

import numpy as np
import torch

from bestiary.errors import EngineFailure, InvalidRequest, UnsupportedParameter
from bestiary.garden.tasks import Task
from bestiary.schemas.image import (
    CompletionRequest,
    DecodeRequest,
    EncodeRequest,
    EncodeResult,
    ImageChunk,
    ImageCounts,
    ImageFormat,
    ImageRequest,
    NoisedImage,
    NoiseRequest,
    NoiseResult,
    PictureRequest,
    PicturesResult,
    TextPrompt,
    TrajectoryFrame,
    TrajectoryRequest,
    TrajectoryResult,
)
from bestiary.schemas.replica import ReplicaLoad
from bestiary.schemas.text import EngineTimings
from deployments.image.decoding import decode_picture
from deployments.image.diffusion.answer import Answer, Candidate, Clock, Writing
from deployments.image.diffusion.engine import DiffusionEngine, Event, Job
from deployments.image.diffusion.given import Given, given
from deployments.image.diffusion.jobs import jobs_of
from deployments.image.diffusion.loop import DiffusionLoop
from deployments.image.diffusion.served import ServedModel
from deployments.image.diffusion.setting import Setting, setting
from deployments.image.fitting import fitted
from deployments.image.pixels import Floats, to_floats, to_pixels
from deployments.image.provenance import Provenance, prompt_hash
from deployments.image.seeds import random_seed, seeds_of
from deployments.image.service import TASK_OF_REQUEST, ImageService
from deployments.image.writing import write_picture
from deployments.turn_loop import LoopLimits, Ticket

T = TypeVar("T")
Taken = TypeVarTuple("Taken")


class DiffusionService(ImageService):
    def __init__(self, model: ServedModel, engine: DiffusionEngine, limits: LoopLimits) -> None:
        super().__init__(model.card)
        self._model = model
        self._files = ThreadPoolExecutor(1, thread_name_prefix="pictures")
        self._computing = ThreadPoolExecutor(1, thread_name_prefix="denoise")
        self._loop = DiffusionLoop(engine, limits, self._computing)

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()
        self._files.shutdown(wait=False, cancel_futures=True)
        self._computing.shutdown(wait=False, cancel_futures=True)

    def load(self) -> ReplicaLoad:
        return self._loop.load()

    def counts(self) -> ImageCounts:
        return self._loop.counts

    def check(self) -> None:
        if not self._loop.is_alive:
            raise EngineFailure("the engine's loop has stopped")

    async def generate_images(self, request: PictureRequest) -> AsyncGenerator[ImageChunk, None]:
        task = TASK_OF_REQUEST[type(request)]
        self.require(task)
        assert not isinstance(request, CompletionRequest)  # no diffusion card has that task
        self._model.limits.check_candidates(request.images, request.best_of)
        if request.best_of > 1 and self._model.scorer is None:
            raise UnsupportedParameter(f"{self.card.id} has no scorer to choose by", "best_of")
        clock, ticket = Clock(time.perf_counter()), self._loop.admit()
        try:
            async with aclosing(self._chunks(request, task, clock, ticket)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            self._loop.leave(ticket)

    async def trajectory(self, request: TrajectoryRequest) -> TrajectoryResult:
        self.require(Task.TRAJECTORY)
        clock, ticket = Clock(time.perf_counter()), self._loop.admit()
        try:
            return await self._watched(request, clock, ticket)
        finally:
            self._loop.leave(ticket)

    async def noise(self, request: NoiseRequest) -> NoiseResult:
        self.require(Task.NOISE)
        arrived = time.perf_counter()
        over = [step for step in request.timesteps if step >= self._model.levels.steps]
        if over:
            most = self._model.levels.steps - 1
            raise InvalidRequest(f"timestep {over[0]} is over {most}, the noisiest", "timesteps")
        seed = random_seed() if request.seed is None else request.seed
        opened = await self._in_files(given, request, self._model)
        values = await self._loop.compute(self._noised, opened, request.timesteps, seed)
        images = await self._in_files(self._noised_images, request, values, seed)
        return NoiseResult(tuple(images), seed, _timings(arrived))

    async def encode_image(self, request: EncodeRequest) -> EncodeResult:
        self.require(Task.ENCODE_IMAGE)
        if request.seed is not None:
            raise UnsupportedParameter("the mean of the latents is given, nothing drawn", "seed")
        arrived = time.perf_counter()
        pixels = await self._in_files(self._opened, request)
        latents = await self._loop.compute(self._model.codec.encode, pixels)
        return EncodeResult(latents, _timings(arrived))

    async def decode_image(self, request: DecodeRequest) -> PicturesResult:
        self.require(Task.DECODE_IMAGE)
        if request.label is not None:
            raise UnsupportedParameter(f"{self.card.id} has no classes", "label")
        arrived = time.perf_counter()
        latents = request.latents.array()
        self._check_latents(latents)
        values = await self._loop.compute(self._model.codec.decode, latents)
        said = self._provenance(Task.DECODE_IMAGE)
        pictures = await self._in_files(
            lambda: [write_picture(to_pixels(one), request.format, said) for one in values]
        )
        return PicturesResult(tuple(pictures), _timings(arrived))

    async def _chunks(
        self, request: PictureRequest, task: Task, clock: Clock, ticket: Ticket[Event]
    ) -> AsyncGenerator[ImageChunk, None]:
        seeds = seeds_of(request)
        each = [seed for candidates in seeds for seed in candidates]
        jobs, writing = await self._prepared(
            request, task, clock, request.format,
            lambda made: jobs_of(
                ticket, made, self._model.samplers, each, previews=_previews(request)
            ),
        )  # fmt: skip
        answer = Answer(writing, seeds, clock)
        prompt = _prompt_of(request)
        until = None if request.deadline_s is None else clock.arrived + request.deadline_s
        async with aclosing(self._loop.run(ticket, jobs, until)) as turns:
            async for events in turns:
                for chunk in await self._in_files(answer.progress, events):
                    yield chunk
                for candidates in answer.finished(events):
                    await self._score(candidates, prompt)
                    yield await self._in_files(answer.last, candidates)

    async def _watched(
        self, request: TrajectoryRequest, clock: Clock, ticket: Ticket[Event]
    ) -> TrajectoryResult:
        seed = random_seed() if request.seed is None else request.seed
        jobs, writing = await self._prepared(
            request, Task.TRAJECTORY, clock, request.format,
            lambda made: jobs_of(
                ticket, made, self._model.samplers, [seed], previews=request.frames, watched=True
            ),
        )  # fmt: skip
        answer = Answer(writing, ((seed,),), clock)
        frames: list[TrajectoryFrame] = []
        until = None if request.deadline_s is None else clock.arrived + request.deadline_s
        async with aclosing(self._loop.run(ticket, jobs, until)) as turns:
            async for events in turns:
                for event in events:
                    if event.noisy is not None:
                        frames.append(await self._in_files(self._frame, event, writing, seed))
                complete = answer.finished(events)
        image = (await self._in_files(answer.last, complete[0])).image
        assert image is not None
        return TrajectoryResult(tuple(frames), image, answer.timings())

    async def _prepared(
        self,
        request: PictureRequest | TrajectoryRequest,
        task: Task,
        clock: Clock,
        format: ImageFormat,
        make: Callable[[Setting], list[Job]],
    ) -> tuple[list[Job], Writing]:
        opened = await self._in_files(given, request, self._model)

        def encode() -> tuple[Setting, float]:
            started = time.perf_counter()
            return setting(request, opened, self._model), time.perf_counter() - started

        made, clock.encoded_s = await self._loop.compute(encode)
        jobs = await self._in_files(make, made)
        said = self._provenance(task, made, _prompt_of(request))
        return jobs, Writing(made, opened, format, said)

    async def _score(self, candidates: Sequence[Candidate], prompt: TextPrompt | None) -> None:
        scorer = self._model.scorer
        if scorer is None or prompt is None:
            return
        pictures = np.stack([one.values for one in candidates])
        scores = await self._loop.compute(scorer.scores, pictures, prompt.text)
        for one, score in zip(candidates, scores, strict=True):
            one.score = score

    def _noised(self, opened: Given, timesteps: Sequence[int], seed: int) -> Floats:
        """All of them decoded, [n, 3, H, W]: the same noise at every timestep."""
        assert opened.image is not None
        model = self._model
        original = model.codec.encode(to_floats(opened.image)[None])[0]
        generator = torch.Generator("cpu").manual_seed(seed)
        noise = torch.randn((1, *original.shape), generator=generator)[0].numpy()
        return model.codec.decode(
            np.stack([model.levels.noised(original, noise, step) for step in timesteps])
        )

    def _noised_images(self, request: NoiseRequest, values: Floats, seed: int) -> list[NoisedImage]:
        said = self._provenance(Task.NOISE, seed=seed)
        levels = self._model.levels
        return [
            NoisedImage(
                timestep=step,
                picture=write_picture(to_pixels(one), request.format, said),
                signal=levels.signal(step),
                noise=levels.noise(step),
                snr=levels.snr(step),
            )
            for step, one in zip(request.timesteps, values, strict=True)
        ]

    def _frame(self, event: Event, writing: Writing, seed: int) -> TrajectoryFrame:
        assert event.noisy is not None
        course = event.job.course
        at_end = event.done == course.steps
        timestep = 0.0 if at_end else course.timestep_of(event.done)
        denoised = None
        if event.denoised is not None:
            denoised = writing.picture(event.denoised, seed, preview=True)
        return TrajectoryFrame(
            step=event.done,
            timestep=timestep,
            snr=float("inf") if at_end else self._model.levels.snr(timestep),
            picture=writing.picture(event.noisy, seed, preview=True),
            denoised=denoised,
        )

    def _opened(self, request: EncodeRequest) -> Floats:
        facts = self._model.facts
        found = [
            fitted(
                decode_picture(image, self._model.limits, "images"),
                facts.width,
                facts.height,
                facts.channels,
            )
            for image in request.images
        ]
        return np.stack([to_floats(one) for one in found])

    def _check_latents(self, latents: Floats) -> None:
        codec = self._model.codec
        if latents.ndim != 4 or latents.shape[1] != codec.channels:
            raise InvalidRequest(
                f"latents are of shape {latents.shape}; this model has "
                f"[n, {codec.channels}, height, width]",
                "latents",
            )
        if not np.isfinite(latents).all():
            raise InvalidRequest("latents hold numbers that are not finite", "latents")
        height, width = (side * codec.factor for side in latents.shape[2:])
        self._model.limits.check_size(width, height, "latents")

    def _provenance(
        self,
        task: Task,
        made: Setting | None = None,
        prompt: TextPrompt | None = None,
        seed: int | None = None,
    ) -> Provenance:
        return Provenance(
            model=self.card.id,
            revision=self._model.revision,
            task=task,
            seed=seed,
            prompt_sha256=prompt_hash(prompt.text, prompt.negative) if prompt else None,
            sampler=made.plan.sampler if made else None,
            steps=made.plan.steps if made else None,
            guidance_scale=made.plan.guidance.scale if made else None,
        )

    async def _in_files(self, function: Callable[[*Taken], T], *taken: *Taken) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._files, function, *taken)


def _previews(request: PictureRequest) -> int:
    return request.previews if request.best_of == 1 else 0


def _prompt_of(request: ImageRequest) -> TextPrompt | None:
    prompt = getattr(request, "prompt", None)
    return prompt if isinstance(prompt, TextPrompt) else None


def _timings(arrived: float) -> EngineTimings:
    total = time.perf_counter() - arrived
    return EngineTimings(decode_s=total, total_s=total)
