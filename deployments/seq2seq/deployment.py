"""The encoder-decoder's Ray Serve deployment: a thin shell around `Seq2SeqService`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from ray.serve.metrics import Gauge

from bestiary.profile.applications import ReplicaArgs
from bestiary.schemas.replica import ReplicaLoad
from bestiary.schemas.seq2seq import Seq2SeqChunk, Seq2SeqRequest, Seq2SeqResult
from bestiary.schemas.text import CountTokensRequest, TokenCount
from bestiary.settings import Settings
from deployments.seq2seq.opening import open_service


class Seq2SeqReplica:
    """Constructed once its model is loaded; Serve sends requests only after that."""

    def __init__(self, args: ReplicaArgs) -> None:
        self._service = open_service(args, Settings().home)
        self._running = _gauge("running", "Requests with rows in the batch", args.card.id)
        self._waiting = _gauge("waiting", "Requests that wait for rows", args.card.id)

    async def generate(self, request: Seq2SeqRequest) -> Seq2SeqResult:
        self._service.start()  # needs the loop that requests run on
        try:
            return await self._service.generate(request)
        finally:
            self._publish()

    async def stream(self, request: Seq2SeqRequest) -> AsyncGenerator[Seq2SeqChunk, None]:
        """Called with `stream=True`. Serve closes it when the caller goes away: its rows are
        free within one step."""
        self._service.start()
        try:
            async with aclosing(self._service.stream(request)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            self._publish()

    async def count_tokens(self, request: CountTokensRequest) -> TokenCount:
        return await self._service.count_tokens(request)

    async def load(self) -> ReplicaLoad:
        return self._publish()

    def check_health(self) -> None:
        """Serve restarts a replica whose health check raises."""
        self._service.check()

    def _publish(self) -> ReplicaLoad:
        load = self._service.load()
        self._running.set(load.running)
        self._waiting.set(load.waiting)
        return load


def _gauge(state: str, description: str, model: str) -> Gauge:
    gauge = Gauge(f"bestiary_num_requests_{state}", description=description, tag_keys=("model",))
    gauge.set_default_tags({"model": model})
    return gauge
