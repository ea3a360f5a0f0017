"""The seam to Ray: what the router asks of a model, and how a Serve handle gives it.

Knows the shape of Ray Serve's `DeploymentHandle` but does not import it; the process
that runs under Serve hands one in. In `services/gateway/app.py`:

    @functools.cache
    def handle_for(deployment: str) -> ModelHandle:
        return ServeModelHandle(serve.get_app_handle(deployment))

`get_app_handle` raises where the application is not there yet, and a raise is not
cached, so the start order does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import cache
from typing import Any, Protocol, TypeVar, cast

from bestiary.schemas.encoder import EmbeddingRequest, EmbeddingResult
from bestiary.schemas.image import ImageChunk, PictureRequest
from bestiary.schemas.replica import ReplicaLoad
from bestiary.schemas.seq2seq import Seq2SeqChunk, Seq2SeqRequest
from bestiary.schemas.text import CountTokensRequest, TextChunk, TextRequest, TokenCount
from services.router.replica_methods import Q, R, ReplicaMethod

T_co = TypeVar("T_co", covariant=True)


class Reply(Protocol[T_co]):
    """A call under way: Serve's `DeploymentResponse`."""

    def __await__(self) -> Generator[Any, None, T_co]: ...

    def cancel(self) -> object:
        """Stops the replica's work on it."""


class ReplyStream(Protocol[T_co]):
    """A streaming call under way: Serve's `DeploymentResponseGenerator`."""

    async def __anext__(self) -> T_co: ...

    def cancel(self) -> object:
        """Stops the replica's work on it."""


class ModelHandle(Protocol):
    """One deployment. A method sends at once and returns without waiting; errors come later."""

    def generate(self, request: TextRequest) -> ReplyStream[tuple[TextChunk, ...]]: ...

    def embed(self, request: EmbeddingRequest) -> Reply[EmbeddingResult]: ...

    def count_tokens(self, request: CountTokensRequest) -> Reply[TokenCount]: ...

    def ask(self, method: ReplicaMethod[Q, R], request: Q) -> Reply[R]:
        """Any of the methods that answer at once, on a replica that has it."""
        ...

    def stream(self, request: Seq2SeqRequest) -> ReplyStream[Seq2SeqChunk]:
        """On an encoder-decoder."""
        ...

    def generate_images(self, request: PictureRequest) -> ReplyStream[ImageChunk]:
        """On an image model."""
        ...

    def load(self) -> Reply[ReplicaLoad]: ...


HandleFor = Callable[[str], ModelHandle]  # by deployment name; may raise where it is not deployed


class _RemoteMethod(Protocol):
    def remote(self, *arguments: object) -> object: ...


class _DeploymentHandle(Protocol):
    """`ray.serve.handle.DeploymentHandle`, as far as it is used."""

    def options(self, *, method_name: str, stream: bool) -> _RemoteMethod: ...


class ServeModelHandle:
    """A `ModelHandle` over a Serve handle. The options are resolved once, not per request."""

    def __init__(self, handle: _DeploymentHandle) -> None:
        self._generate = handle.options(method_name="generate", stream=True)
        self._embed = handle.options(method_name="embed", stream=False)
        self._count_tokens = handle.options(method_name="count_tokens", stream=False)
        self._stream = handle.options(method_name="stream", stream=True)
        self._generate_images = handle.options(method_name="generate_images", stream=True)
        self._load = handle.options(method_name="load", stream=False)
        self._method = cache(lambda name: handle.options(method_name=name, stream=False))

    def generate(self, request: TextRequest) -> ReplyStream[tuple[TextChunk, ...]]:
        return cast("ReplyStream[tuple[TextChunk, ...]]", self._generate.remote(request))

    def embed(self, request: EmbeddingRequest) -> Reply[EmbeddingResult]:
        return cast("Reply[EmbeddingResult]", self._embed.remote(request))

    def count_tokens(self, request: CountTokensRequest) -> Reply[TokenCount]:
        return cast("Reply[TokenCount]", self._count_tokens.remote(request))

    def ask(self, method: ReplicaMethod[Q, R], request: Q) -> Reply[R]:
        return cast("Reply[R]", self._method(method.name).remote(request))

    def stream(self, request: Seq2SeqRequest) -> ReplyStream[Seq2SeqChunk]:
        return cast("ReplyStream[Seq2SeqChunk]", self._stream.remote(request))

    def generate_images(self, request: PictureRequest) -> ReplyStream[ImageChunk]:
        return cast("ReplyStream[ImageChunk]", self._generate_images.remote(request))

    def load(self) -> Reply[ReplicaLoad]:
        return cast("Reply[ReplicaLoad]", self._load.remote())
