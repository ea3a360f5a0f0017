"""What dialects ask for: text, embeddings, any task. One internal way, whatever the wire.

Fills the exchange with what the receipt and the metrics need. Knows no dialect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from bestiary.errors import ModelNotFound
from bestiary.garden.card import Family, ModelCard, SamplingDefaults
from bestiary.garden.tasks import Task
from bestiary.schemas.encoder import EmbeddingRequest, EmbeddingResult
from bestiary.schemas.image import PictureRequest
from bestiary.schemas.routing import RouteRequest
from bestiary.schemas.seq2seq import Seq2SeqRequest
from bestiary.schemas.text import (
    ChatMessage,
    CountTokensRequest,
    TextRequest,
    TokenCount,
    ToolUse,
)
from services.gateway.dispatch import Call, Dispatch, TextCall
from services.gateway.drawing import Drawing
from services.gateway.exchange import Exchange
from services.gateway.generation import Endings, Generation
from services.gateway.rewriting import Rewriting
from services.gateway.task_usage import TaskUsage
from services.router.offers import OfferedModel
from services.router.replica_methods import Q, R, ReplicaMethod

Piece = TypeVar("Piece")


class Inference:
    """The gateway's use of the router."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._endings = Endings()

    def models(self) -> tuple[OfferedModel, ...]:
        return self._dispatch.models()

    async def offered(self, name: str) -> OfferedModel:
        """One of `models`, also one that was published just now.

        Raises ModelNotFound or CardNotInstalled.
        """
        await self._dispatch.acquaint(name)
        for offered in self.models():
            if offered.id == name:
                return offered
        self._dispatch.card(name)  # says why not
        raise ModelNotFound(f"model {name[:128]!r} does not exist", name)

    async def family(self, name: str) -> Family:
        """Of the model behind a name. Raises as `offered`."""
        return (await self.named(name)).family

    async def named(self, name: str) -> ModelCard:
        """The card behind a name, whatever it is asked for. Raises as `offered`."""
        await self._dispatch.acquaint(name)
        return self._dispatch.card(name)

    async def card(self, route: RouteRequest) -> ModelCard:
        """Of the model that answers while nothing is overloaded. Raises as the router does."""
        await self._dispatch.acquaint(route.model)
        return self._dispatch.card(self._dispatch.resolve(route).model)

    async def defaults(self, route: RouteRequest) -> SamplingDefaults:
        return (await self.card(route)).sampling

    async def generate(
        self, exchange: Exchange, route: RouteRequest, requests: Sequence[TextRequest]
    ) -> Generation:
        """Returns once every call has its first chunk; close the generation in a `finally`."""
        exchange.dispatch_begins()
        asked = {"tenant": exchange.tenant, "priority": exchange.priority}
        try:
            calls = await self._start(
                route, [request.model_copy(update=asked) for request in requests]
            )
        except BaseException:
            exchange.dispatch_ends()
            raise
        exchange.records.extend(call.record for call in calls)
        return Generation(exchange, calls, requests[0].candidates, self._endings)

    async def embed(
        self, exchange: Exchange, route: RouteRequest, request: EmbeddingRequest
    ) -> EmbeddingResult:
        exchange.dispatch_begins()
        try:
            result, record = await self._dispatch.embed(route, request)
        finally:
            exchange.dispatch_ends()
        exchange.records.append(record)
        exchange.engine_answered(result.timings)
        exchange.prompt_tokens += sum(result.prompt_tokens)
        return result

    async def ask(
        self,
        exchange: Exchange,
        route: RouteRequest,
        method: ReplicaMethod[Q, R],
        request: Q,
        usage_of: Callable[[R], TaskUsage],
    ) -> R:
        """A task's whole answer."""
        exchange.dispatch_begins()
        try:
            result, record = await self._dispatch.ask(route, method, request)
        finally:
            exchange.dispatch_ends()
        exchange.records.append(record)
        usage = usage_of(result)
        exchange.engine_answered(usage.timings)
        exchange.prompt_tokens += usage.prompt_tokens
        exchange.generation_tokens += usage.completion_tokens or 0
        exchange.images += usage.images
        return result

    async def rewrite(
        self, exchange: Exchange, route: RouteRequest, request: Seq2SeqRequest
    ) -> Rewriting:
        """Returns once the first piece is here; close the rewriting in a `finally`."""
        call = await _begun(exchange, self._dispatch.stream(route, request))
        return Rewriting(exchange, call, self._endings)

    async def draw(
        self, exchange: Exchange, route: RouteRequest, request: PictureRequest
    ) -> Drawing:
        """Returns once the first news is here; close the drawing in a `finally`."""
        call = await _begun(exchange, self._dispatch.generate_images(route, request))
        return Drawing(exchange, call, self._endings)

    async def count(
        self, exchange: Exchange, route: RouteRequest, request: CountTokensRequest
    ) -> TokenCount:
        exchange.dispatch_begins()
        try:
            count, record = await self._dispatch.count_tokens(route, request)
        finally:
            exchange.dispatch_ends()
        exchange.records.append(record)
        return count

    async def close(self) -> None:
        await self._endings.close()

    async def _start(
        self, route: RouteRequest, requests: Sequence[TextRequest]
    ) -> Sequence[TextCall]:
        if len(requests) == 1:
            return (await self._dispatch.generate(route, requests[0]),)
        tasks = [
            asyncio.create_task(self._dispatch.generate(route, request)) for request in requests
        ]
        try:
            return await asyncio.gather(*tasks)
        except BaseException:
            await _close_all(tasks)
            raise


async def _close_all(tasks: Sequence[asyncio.Task[TextCall]]) -> None:
    """One of several prompts was refused: the others' work is for nobody."""
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(outcome, BaseException):
            await outcome.aclose()


def route_to(
    exchange: Exchange,
    model: str,
    family: Family,
    prompt_size: int = 0,
    *,
    task: Task | None = None,
    languages: tuple[str | None, str | None] = (None, None),
    user: str | None = None,
) -> RouteRequest:
    """`prompt_size` in characters; `languages` are a translation's, from and to.

    `user` is the caller's own name for whom it asks: a canary keeps each on one side. Two
    callers' users of the same name are different ones.
    """
    source, target = languages
    return RouteRequest(
        model=model,
        family=family.value,
        strict=exchange.strict,
        prompt_size=prompt_size,
        task=task,
        source_language=source,
        target_language=target,
        stickiness=f"{exchange.tenant}:{user}" if user else "",
    )


def characters(messages: Sequence[ChatMessage], tool_use: ToolUse | None = None) -> int:
    """About what a chat template makes of them: it writes calls and tools as JSON."""
    said = sum(len(message.content) for message in messages)
    calls = (call for message in messages for call in message.tool_calls or ())
    called = sum(len(call.name) + len(call.arguments) for call in calls)
    tools = () if tool_use is None else tool_use.tools
    return said + called + sum(len(tool.model_dump_json(exclude_none=True)) for tool in tools)


async def _begun(exchange: Exchange, starting: Awaitable[Call[Piece]]) -> Call[Piece]:
    """A call that comes in pieces, once its first one is here."""
    exchange.dispatch_begins()
    try:
        call = await starting
    except BaseException:
        exchange.dispatch_ends()
        raise
    exchange.records.append(call.record)
    return call
