"""The text family's Ray Serve deployment: a thin shell around `TextService`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict

from ray.serve.metrics import Counter, Gauge

from bestiary.profile.applications import ReplicaArgs
from bestiary.schemas.replica import ReplicaLoad, TextCounts
from bestiary.schemas.text import CountTokensRequest, TextChunk, TextRequest, TokenCount
from bestiary.settings import Settings
from deployments.text.opening import open_service

PUBLISH_EVERY_S = 1.0
COUNTERS = {
    "prefix_cache_queries": "Prompt tokens that were looked for in the prefix cache",
    "prefix_cache_hits": "Prompt tokens that were found in the prefix cache",
    "drafted_tokens": "Tokens that speculation guessed",
    "accepted_tokens": "Guessed tokens that were what the model chose",
    "preemptions": "Rows that gave way to a more urgent request",
}


class TextReplica:
    """Constructed once its model is loaded; Serve sends requests only after that."""

    async def __init__(self, args: ReplicaArgs) -> None:  # type: ignore[misc]  # Serve awaits it
        self._service = await open_service(args, Settings().home)
        self._metrics = _ReplicaMetrics(args.card.id)
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
            self._metrics.show(self._service.load(), self._service.counts())
            await asyncio.sleep(PUBLISH_EVERY_S)


class _ReplicaMetrics:
    """A replica as Prometheus sees it; Serve adds the deployment's and replica's names.

    The engine counts; here is published what was counted since the last look.
    """

    def __init__(self, model: str) -> None:
        tags = {"model": model}
        self._running = _gauge("num_requests_running", "Requests in the batch", tags)
        self._waiting = _gauge("num_requests_waiting", "Requests in the engine's queue", tags)
        self._usage = _gauge("kv_cache_usage_perc", "Share of the KV cache in use, 0 to 1", tags)
        self._counters = {name: _counter(name, text, tags) for name, text in COUNTERS.items()}
        self._told = TextCounts()

    def show(self, load: ReplicaLoad, counts: TextCounts) -> None:
        self._running.set(load.running)
        self._waiting.set(load.waiting)
        self._usage.set(load.kv_cache_usage)
        before = asdict(self._told)
        for name, now in asdict(counts).items():
            if now > before[name]:
                self._counters[name].inc(now - before[name])
        self._told = counts


def _gauge(name: str, description: str, tags: dict[str, str]) -> Gauge:
    gauge = Gauge(f"bestiary_{name}", description=description, tag_keys=tuple(tags))
    gauge.set_default_tags(dict(tags))  # Serve adds its own to it
    return gauge


def _counter(name: str, description: str, tags: dict[str, str]) -> Counter:
    counter = Counter(f"bestiary_{name}_total", description=description, tag_keys=tuple(tags))
    counter.set_default_tags(dict(tags))  # Serve adds its own to it
    return counter
