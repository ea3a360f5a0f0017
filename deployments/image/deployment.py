"""The image family's Ray Serve deployment: a thin shell around an `ImageService`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from dataclasses import asdict
from typing import TypeVar

from ray.serve.metrics import Counter, Gauge

from bestiary.profile.applications import ReplicaArgs
from bestiary.schemas.image import (
    DecodeRequest,
    DiscriminateRequest,
    DiscriminateResult,
    EncodeRequest,
    EncodeResult,
    ImageChunk,
    ImageCounts,
    InterpolateRequest,
    LikelihoodRequest,
    LikelihoodResult,
    NoiseRequest,
    NoiseResult,
    PictureRequest,
    PicturesResult,
    ReconstructRequest,
    ReconstructResult,
    TrajectoryRequest,
    TrajectoryResult,
)
from bestiary.schemas.replica import ReplicaLoad
from bestiary.settings import Settings
from deployments.image.opening import open_service
from deployments.image.service import ImageService

Result = TypeVar("Result")

COUNTERS = {
    "images": "Pictures that image models have made",
    "runs": "Runs of the network that takes most of an image model's time",
    "evaluations": "Rows in those runs: two for a guided denoising step, one for any other",
    "cached_steps": "Denoising steps that used an earlier prediction again",
    "cancelled": "Pictures that were given up because their caller went away",
}


class ImageReplica:
    """Constructed once its model is loaded; Serve sends requests only after that."""

    def __init__(self, args: ReplicaArgs) -> None:
        self._service = open_service(args, Settings().home)
        self._metrics = _ReplicaMetrics(args.card.id)

    async def generate_images(self, request: PictureRequest) -> AsyncGenerator[ImageChunk, None]:
        """Called with `stream=True`. Serve closes it when the caller goes away: its pictures are
        given up within one step."""
        service = self._started()
        try:
            async with aclosing(service.generate_images(request)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            self._publish()

    async def encode_image(self, request: EncodeRequest) -> EncodeResult:
        return await self._answered(self._started().encode_image(request))

    async def decode_image(self, request: DecodeRequest) -> PicturesResult:
        return await self._answered(self._started().decode_image(request))

    async def reconstruct(self, request: ReconstructRequest) -> ReconstructResult:
        return await self._answered(self._started().reconstruct(request))

    async def interpolate(self, request: InterpolateRequest) -> PicturesResult:
        return await self._answered(self._started().interpolate(request))

    async def discriminate(self, request: DiscriminateRequest) -> DiscriminateResult:
        return await self._answered(self._started().discriminate(request))

    async def likelihood(self, request: LikelihoodRequest) -> LikelihoodResult:
        return await self._answered(self._started().likelihood(request))

    async def noise(self, request: NoiseRequest) -> NoiseResult:
        return await self._answered(self._started().noise(request))

    async def trajectory(self, request: TrajectoryRequest) -> TrajectoryResult:
        return await self._answered(self._started().trajectory(request))

    async def load(self) -> ReplicaLoad:
        return self._publish()

    def check_health(self) -> None:
        """Serve restarts a replica whose health check raises."""
        self._service.check()

    def _started(self) -> ImageService:
        self._service.start()  # needs the loop that requests run on
        return self._service

    async def _answered(self, result: Awaitable[Result]) -> Result:
        try:
            return await result
        finally:
            self._publish()

    def _publish(self) -> ReplicaLoad:
        load = self._service.load()
        self._metrics.show(load, self._service.counts())
        return load


class _ReplicaMetrics:
    """A replica as Prometheus sees it; Serve adds the deployment's and replica's names.

    The engine counts; here is published what was counted since the last look.
    """

    def __init__(self, model: str) -> None:
        tags = {"model": model}
        self._running = _gauge("running", "Requests in the batch that runs", tags)
        self._waiting = _gauge("waiting", "Requests that wait for a batch", tags)
        self._counters = {name: _counter(name, text, tags) for name, text in COUNTERS.items()}
        self._told = ImageCounts()

    def show(self, load: ReplicaLoad, counts: ImageCounts) -> None:
        self._running.set(load.running)
        self._waiting.set(load.waiting)
        before = asdict(self._told)
        for name, now in asdict(counts).items():
            if now > before[name]:
                self._counters[name].inc(now - before[name])
        self._told = counts


def _gauge(state: str, description: str, tags: dict[str, str]) -> Gauge:
    name = f"bestiary_num_requests_{state}"
    gauge = Gauge(name, description=description, tag_keys=tuple(tags))
    gauge.set_default_tags(dict(tags))  # Serve adds its own to it
    return gauge


def _counter(name: str, description: str, tags: dict[str, str]) -> Counter:
    name = f"bestiary_image_{name}_total"
    counter = Counter(name, description=description, tag_keys=tuple(tags))
    counter.set_default_tags(dict(tags))  # Serve adds its own to it
    return counter
