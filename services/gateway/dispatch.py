"""What the gateway asks of the router, as narrow as it is. `services.router.Dispatcher` fits it."""

from __future__ import annotations

from typing import Protocol

from bestiary.garden.card import ModelCard
from bestiary.schemas.encoder import EmbeddingRequest, EmbeddingResult
from bestiary.schemas.routing import RouteDecision, RouteRequest
from bestiary.schemas.text import CountTokensRequest, TextChunk, TextRequest, TokenCount
from services.router.offers import OfferedModel
from services.router.routed_call import CallRecord


class TextCall(Protocol):
    """A routed call under way; `aclose` it however it ends."""

    record: CallRecord

    async def __anext__(self) -> tuple[TextChunk, ...]: ...

    async def aclose(self) -> None: ...


class Dispatch(Protocol):
    def resolve(self, route: RouteRequest) -> RouteDecision: ...

    def card(self, name: str) -> ModelCard: ...

    def models(self) -> tuple[OfferedModel, ...]: ...

    async def generate(self, route: RouteRequest, request: TextRequest) -> TextCall:
        """Returns once the first chunk is here."""
        ...

    async def embed(
        self, route: RouteRequest, request: EmbeddingRequest
    ) -> tuple[EmbeddingResult, CallRecord]: ...

    async def count_tokens(
        self, route: RouteRequest, request: CountTokensRequest
    ) -> tuple[TokenCount, CallRecord]: ...
