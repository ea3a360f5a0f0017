"""The encoder's Ray Serve deployment: a thin shell around `EncoderService`."""

from __future__ import annotations

from ray.serve.metrics import Gauge

from bestiary.profile.applications import ReplicaArgs
from bestiary.schemas.encoder import EmbeddingRequest, EmbeddingResult
from bestiary.schemas.replica import ReplicaLoad
from bestiary.schemas.text import CountTokensRequest, TokenCount
from bestiary.settings import Settings
from deployments.encoder.opening import open_service


class EncoderReplica:
    """Constructed once its model is loaded; Serve sends requests only after that."""

    def __init__(self, args: ReplicaArgs) -> None:
        self._service = open_service(args, Settings().home)
        self._running = _gauge("running", "Requests in the batch that runs", args.card.id)
        self._waiting = _gauge("waiting", "Requests that wait for a batch", args.card.id)

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult:
        self._service.start()  # needs the loop that requests run on
        try:
            return await self._service.embed(request)
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
