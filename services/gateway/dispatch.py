"""What the gateway asks of the router, as narrow as it is. `services.router.Dispatcher` fits it."""

from __future__ import annotations

from typing import Protocol, TypeVar

from bestiary.garden.card import ModelCard
from bestiary.schemas.encoder import EmbeddingRequest, EmbeddingResult
from bestiary.schemas.image import ImageChunk, PictureRequest
from bestiary.schemas.routing import RouteDecision, RouteRequest
from bestiary.schemas.seq2seq import Seq2SeqChunk, Seq2SeqRequest
from bestiary.schemas.text import CountTokensRequest, TextChunk, TextRequest, TokenCount
from services.router.offers import OfferedModel
from services.router.replica_methods import Q, R, ReplicaMethod
from services.router.routed_call import CallRecord

C_co = TypeVar("C_co", covariant=True)


class Call(Protocol[C_co]):
    """A routed call under way; `aclose` it however it ends."""

    record: CallRecord

    async def __anext__(self) -> C_co: ...

    async def aclose(self) -> None: ...


TextCall = Call[tuple[TextChunk, ...]]


class Dispatch(Protocol):
    async def acquaint(self, name: str) -> None:
        """Before those that do not wait: `name` may have been published just now."""
        ...

    def resolve(self, route: RouteRequest) -> RouteDecision: ...

    def card(self, name: str) -> ModelCard: ...

    def models(self) -> tuple[OfferedModel, ...]: ...

    async def generate(self, route: RouteRequest, request: TextRequest) -> TextCall:
        """Returns once the first chunk is here."""
        ...

    async def stream(self, route: RouteRequest, request: Seq2SeqRequest) -> Call[Seq2SeqChunk]:
        """As `generate`."""
        ...

    async def generate_images(
        self, route: RouteRequest, request: PictureRequest
    ) -> Call[ImageChunk]:
        """As `generate`."""
        ...

    async def ask(
        self, route: RouteRequest, method: ReplicaMethod[Q, R], request: Q
    ) -> tuple[R, CallRecord]: ...

    async def embed(
        self, route: RouteRequest, request: EmbeddingRequest
    ) -> tuple[EmbeddingResult, CallRecord]: ...

    async def count_tokens(
        self, route: RouteRequest, request: CountTokensRequest
    ) -> tuple[TokenCount, CallRecord]: ...
