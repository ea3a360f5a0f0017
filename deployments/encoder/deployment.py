"""The encoder's Ray Serve deployment: a thin shell around `EncoderService`."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import asdict
from typing import TypeVar

from ray.serve.metrics import Counter, Gauge

from bestiary.profile.applications import ReplicaArgs
from bestiary.schemas.encoder import (
    ClassifyRequest,
    ClassifyResult,
    EmbeddingRequest,
    EmbeddingResult,
    ExplainRequest,
    ExplainResult,
    FillMaskRequest,
    FillMaskResult,
    NextSentenceRequest,
    NextSentenceResult,
    RerankRequest,
    RerankResult,
    SimilarityRequest,
    SimilarityResult,
    TokenClassifyRequest,
    TokenClassifyResult,
    TokenEmbeddingRequest,
    TokenEmbeddingResult,
)
from bestiary.schemas.replica import ReplicaLoad
from bestiary.schemas.text import CountTokensRequest, TokenCount
from bestiary.settings import Settings
from deployments.encoder.engine import EncoderCounts
from deployments.encoder.opening import open_service
from deployments.encoder.service import EncoderService

Result = TypeVar("Result")

COUNTERS = {
    "tokens": "Tokens that encoders have read, without padding",
    "padding_tokens": "Tokens that were computed for nothing, to make a batch of unequal texts",
}


class EncoderReplica:
    """Constructed once its model is loaded; Serve sends requests only after that."""

    def __init__(self, args: ReplicaArgs) -> None:
        self._service = open_service(args, Settings().home)
        self._metrics = _ReplicaMetrics(args.card.id)

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult:
        return await self._answered(self._started().embed(request))

    async def token_embed(self, request: TokenEmbeddingRequest) -> TokenEmbeddingResult:
        return await self._answered(self._started().token_embed(request))

    async def fill_mask(self, request: FillMaskRequest) -> FillMaskResult:
        return await self._answered(self._started().fill_mask(request))

    async def next_sentence(self, request: NextSentenceRequest) -> NextSentenceResult:
        return await self._answered(self._started().next_sentence(request))

    async def classify(self, request: ClassifyRequest) -> ClassifyResult:
        return await self._answered(self._started().classify(request))

    async def token_classify(self, request: TokenClassifyRequest) -> TokenClassifyResult:
        return await self._answered(self._started().token_classify(request))

    async def rerank(self, request: RerankRequest) -> RerankResult:
        return await self._answered(self._started().rerank(request))

    async def similarity(self, request: SimilarityRequest) -> SimilarityResult:
        return await self._answered(self._started().similarity(request))

    async def explain(self, request: ExplainRequest) -> ExplainResult:
        return await self._answered(self._started().explain(request))

    async def count_tokens(self, request: CountTokensRequest) -> TokenCount:
        return await self._service.count_tokens(request)

    async def load(self) -> ReplicaLoad:
        return self._publish()

    def check_health(self) -> None:
        """Serve restarts a replica whose health check raises."""
        self._service.check()

    def _started(self) -> EncoderService:
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
        self._told = EncoderCounts()

    def show(self, load: ReplicaLoad, counts: EncoderCounts) -> None:
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
    name = f"bestiary_encoder_{name}_total"
    counter = Counter(name, description=description, tag_keys=tuple(tags))
    counter.set_default_tags(dict(tags))  # Serve adds its own to it
    return counter
