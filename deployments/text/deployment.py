"""The text family's Ray Serve deployment: a thin shell around `TextService`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ray.serve.metrics import Gauge

from bestiary.profile.applications import ReplicaArgs
from bestiary.schemas.replica import ReplicaLoad
from bestiary.schemas.text import CountTokensRequest, TextChunk, TextRequest, TokenCount
from bestiary.settings import Settings
from deployments.text.opening import open_service

PUBLISH_EVERY_S = 1.0


class TextReplica:
    """Constructed once its model is loaded; Serve sends requests only after that."""

    async def __init__(self, args: ReplicaArgs) -> None:  # type: ignore[misc]  # Serve awaits it
        self._service = await open_service(args, Settings().home)
        self._gauges = _LoadGauges(args.card.id)
        self._publishing = asyncio.create_task(self._publish())

    async def generate(self, request: TextRequest) -> AsyncGenerator[tuple[TextChunk, ...], None]:
        """Each item is whatever is ready, the first token at once; called with `stream=True`.

        Serve closes the generator when the caller cancels or goes away: its rows are
        free within one step.
        """
        async with aclosing(self._service.generate(request)) as stream:
            async for chunks in stream:
                yield chunks

    async def count_tokens(self, request: CountTokensRequest) -> TokenCount:
        return await self._service.count_tokens(request)

    async def load(self) -> ReplicaLoad:
        return self._service.load()

    def check_health(self) -> None:
        """Serve restarts a replica whose health check raises."""
        self._service.check()
        if self._publishing.done():
            self._publishing.result()

    async def _publish(self) -> None:
        while True:
            self._gauges.show(self._service.load())
            await asyncio.sleep(PUBLISH_EVERY_S)


class _LoadGauges:
    """A replica's load as Prometheus sees it; Serve adds the deployment's and replica's names."""

    def __init__(self, model: str) -> None:
        self._running = _gauge("num_requests_running", "Requests in the batch", model)
        self._waiting = _gauge("num_requests_waiting", "Requests in the engine's queue", model)
        self._usage = _gauge("kv_cache_usage_perc", "Share of the KV cache in use, 0 to 1", model)

    def show(self, load: ReplicaLoad) -> None:
        self._running.set(load.running)
        self._waiting.set(load.waiting)
        self._usage.set(load.kv_cache_usage)


def _gauge(name: str, description: str, model: str) -> Gauge:
    gauge = Gauge(f"bestiary_{name}", description=description, tag_keys=("model",))
    gauge.set_default_tags({"model": model})
    return gauge
