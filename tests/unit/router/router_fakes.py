"""Fakes at the router's seams: a profile of three tiers, and model handles without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

import numpy as np

from bestiary.garden.card import Family, ModelCard, Source
from bestiary.profile.applications import ServedModel
from bestiary.profile.models import Profile
from bestiary.schemas.encoder import EmbeddingRequest, EmbeddingResult
from bestiary.schemas.replica import ReplicaLoad
from bestiary.schemas.routing import RouteRequest
from bestiary.schemas.text import (
    CountTokensRequest,
    EngineTimings,
    TextChunk,
    TextRequest,
    TokenCount,
)
from services.router.loads import DeploymentLoad, DeploymentState

T = TypeVar("T")
SMALL, LARGE, VECTORS = "tiny-135m", "big-1b", "mini-embed"
NAMES = ("small-int8", "small-fp32", "large", "embed")  # the profile's deployments


def card(card_id: str, family: Family = Family.TEXT) -> ModelCard:
    return ModelCard(
        id=card_id,
        family=family,
        architecture="LlamaForCausalLM",
        title=card_id,
        parameters=1,
        context_length=128,
        license="MIT",
        provenance="this test",
        sources=(Source(url="zoo://x"),),
    )


def profile(**changes: object) -> Profile:
    """gecko and otter share a card; bison has its own; unicorn is not bound."""
    queue = {"max_ongoing_requests": 2, "max_queued_requests": 1, "target_wait_s": 5}
    raw: dict[str, object] = {
        "name": "test",
        "deployments": {
            "small-int8": {"card": SMALL, "text": {}, "queue": queue},
            "small-fp32": {"card": SMALL, "text": {}, "queue": queue},
            "large": {"card": LARGE, "text": {}, "queue": queue},
            "embed": {"card": VECTORS, "encoder": {}, "queue": queue},
        },
        "tiers": {
            "gecko": {"deployment": "small-int8", "fallback": ["otter"], "spillover": ["otter"]},
            "otter": {"deployment": "small-fp32", "fallback": ["gecko"], "spillover": ["gecko"]},
            "bison": {
                "deployment": "large",
                "fallback": ["otter", "gecko"],
                "spillover": ["otter"],
            },
        },
        "embedding": "embed",
        "auto": {"max_prompt_characters": {"gecko": 100, "otter": 1000}, "otherwise": "bison"},
        "aliases": {
            "text-bison-001": "bison",
            "text-unicorn-001": "unicorn",
            "embedding-gecko-001": VECTORS,
            "clever": "auto",
            "pinned": "large",
        },
    }
    return Profile.model_validate(raw | changes)


def served(*deployments: str) -> tuple[ServedModel, ...]:
    cards = {"small-int8": SMALL, "small-fp32": SMALL, "large": LARGE, "embed": VECTORS}
    return tuple(
        ServedModel(deployment=name, family=family, card=card(card_id, family))
        for name, card_id in cards.items()
        if name in deployments
        for family in (Family.ENCODER if name == "embed" else Family.TEXT,)
    )


def chat(model: str, strict: bool = False, prompt_size: int = 0) -> RouteRequest:
    return RouteRequest(model=model, family="text", strict=strict, prompt_size=prompt_size)


def embedding(model: str) -> RouteRequest:
    return RouteRequest(model=model, family="encoder")


def running(wait_s: float = 0.0, busy: int = 0, replicas: int = 1) -> DeploymentLoad:
    sample = ReplicaLoad(running=busy, waiting=0, slots=2, queue_wait_s=wait_s)
    return DeploymentLoad(DeploymentState.RUNNING, replicas=replicas, replica=sample)


def overloaded(retry_after_s: float = 1.0) -> DeploymentLoad:
    return DeploymentLoad(DeploymentState.OVERLOADED, retry_after_s=retry_after_s)


COLD = DeploymentLoad(DeploymentState.COLD, replicas=0)
LOST = DeploymentLoad(DeploymentState.LOST, replicas=0)


def chunk(text: str) -> tuple[TextChunk, ...]:
    return (TextChunk(candidate=0, text=text),)


class FakeReply(Generic[T]):
    """Gives `result`, raises it where it is an error, or awaits it where it is callable."""

    def __init__(self, result: T | BaseException | Callable[[], Awaitable[T]]) -> None:
        self._result = result
        self.cancelled = False

    def __await__(self) -> Generator[Any, None, T]:
        return self._answer().__await__()

    async def _answer(self) -> T:
        if isinstance(self._result, BaseException):
            raise self._result
        if callable(self._result):
            return await self._result()
        return self._result

    def cancel(self) -> None:
        self.cancelled = True


class FakeStream:
    """Yields each text as a chunk; raises an error where one stands; `forever` at the end hangs."""

    def __init__(self, *script: str | BaseException, forever: bool = False) -> None:
        self._script = list(script)
        self._forever = forever
        self.cancelled = False

    async def __anext__(self) -> tuple[TextChunk, ...]:
        if not self._script:
            if self._forever:
                await asyncio.Event().wait()
            raise StopAsyncIteration
        step = self._script.pop(0)
        if isinstance(step, BaseException):
            raise step
        return chunk(step)

    def cancel(self) -> None:
        self.cancelled = True


class FakeModel:
    """A `ModelHandle` that plays scripted replies in order; the last one stays."""

    def __init__(
        self,
        *streams: FakeStream,
        load: FakeReply[ReplicaLoad] | None = None,
        embeds: tuple[FakeReply[EmbeddingResult], ...] = (),
    ) -> None:
        self._streams = list(streams)
        self._embeds = list(embeds)
        self._load = load or FakeReply(ReplicaLoad(running=0, waiting=0, slots=2))
        self.asked = 0
        self.requests: list[TextRequest] = []

    def generate(self, request: TextRequest) -> FakeStream:
        self.asked += 1
        self.requests.append(request)
        return self._streams.pop(0) if len(self._streams) > 1 else self._streams[0]

    def embed(self, request: EmbeddingRequest) -> FakeReply[EmbeddingResult]:
        self.asked += 1
        return self._embeds.pop(0) if len(self._embeds) > 1 else self._embeds[0]

    def count_tokens(self, request: CountTokensRequest) -> FakeReply[TokenCount]:
        return FakeReply(TokenCount((1, 2, 3)))

    def load(self) -> FakeReply[ReplicaLoad]:
        self.asked += 1
        return self._load


def vectors() -> EmbeddingResult:
    return EmbeddingResult(np.ones((1, 2), np.float32), (1,), (False,), EngineTimings())


class BackPressureError(Exception):
    """Looks like Ray's to whoever goes by the qualified name."""

    retry_after_s = 7.0


BackPressureError.__module__ = "ray.serve.exceptions"


class RayActorError(Exception):
    """As above."""


RayActorError.__module__ = "ray.exceptions"
