"""What dialects ask for: text, embeddings, token counts. One internal way, whatever the wire.

Fills the exchange with what the receipt and the metrics need. Knows no dialect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bestiary.garden.card import Family, ModelCard, SamplingDefaults
from bestiary.schemas.encoder import EmbeddingRequest, EmbeddingResult
from bestiary.schemas.routing import RouteRequest
from bestiary.schemas.text import ChatMessage, CountTokensRequest, TextRequest, TokenCount
from services.gateway.dispatch import Dispatch, TextCall
from services.gateway.exchange import Exchange
from services.gateway.generation import Endings, Generation
from services.router.offers import OfferedModel


class Inference:
    """The gateway's use of the router."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._endings = Endings()

    def models(self) -> tuple[OfferedModel, ...]:
        return self._dispatch.models()

    def family(self, name: str) -> Family:
        """Of the model behind a name. Raises ModelNotFound or CardNotInstalled."""
        return self._dispatch.card(name).family

    def card(self, route: RouteRequest) -> ModelCard:
        """Of the model that answers while nothing is overloaded. Raises as the router does."""
        return self._dispatch.card(self._dispatch.resolve(route).model)

    def defaults(self, route: RouteRequest) -> SamplingDefaults:
        return self.card(route).sampling

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


def route_to(exchange: Exchange, model: str, family: Family, prompt_size: int = 0) -> RouteRequest:
    """`prompt_size` in characters."""
    return RouteRequest(
        model=model, family=family.value, strict=exchange.strict, prompt_size=prompt_size
    )


def characters(messages: Sequence[ChatMessage]) -> int:
    return sum(len(message.content) for message in messages)
