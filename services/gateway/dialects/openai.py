"""OpenAI's API under /v1: its wire to our requests, our results to its wire.

`openai_wire.py` has what comes in, `openai_reply.py` what goes out. Knows neither
Serve nor who may call.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TypeVar

from fastapi import APIRouter, Request, Response

from bestiary.errors import InvalidRequest
from bestiary.garden.card import Family, SamplingDefaults
from bestiary.garden.tasks import Task
from bestiary.schemas.encoder import EmbeddingRequest, Pooling
from bestiary.schemas.routing import RouteRequest
from bestiary.schemas.text import (
    ChatMessage,
    Constraint,
    CountTokensRequest,
    Sampling,
    TextRequest,
)
from services.gateway.answering import StreamAnswer, json_answer
from services.gateway.api_docs import takes
from services.gateway.dialects import openai_wire as wire
from services.gateway.dialects.base import Dialect
from services.gateway.dialects.best_of import best
from services.gateway.dialects.openai_reply import (
    EventWriter,
    answer_json,
    embeddings_json,
    model_json,
)
from services.gateway.dialects.openai_shapes import CHAT, COMPLETION, Shape
from services.gateway.dialects.openai_tools import calls_made, tool_use
from services.gateway.dialects.response_format import ResponseFormat
from services.gateway.error_mapping import OpenAIErrors
from services.gateway.exchange import Exchange, exchange_of
from services.gateway.hang_up import WhileWanted
from services.gateway.inference import Inference, characters, route_to
from services.gateway.reading import JsonObject, made, read_object, refuse_unsupported, validate

OPENAI = Dialect(name="openai", prefixes=("/v1/",), errors=OpenAIErrors())
V = TypeVar("V")
_CALLERS_NAMES = {"candidates": "n", "inputs": "input"}


def openai_routes(inference: Inference) -> APIRouter:
    """GET models, models/{id}; POST chat/completions, completions, embeddings, tokenize."""
    routes = APIRouter(prefix="/v1", tags=["OpenAI"])
    _add_models(routes, inference)
    _add_text(routes, inference)
    _add_encoding(routes, inference)
    return routes


def _add_models(routes: APIRouter, inference: Inference) -> None:
    created = int(time.time())  # names have no birthday: when this gateway learnt of them

    @routes.get("/models")
    async def list_models(request: Request) -> Response:
        """Every name that can be asked for: `auto`, tiers, cards, aliases. Never paged."""
        data = [model_json(model, created) for model in inference.models()]
        return json_answer({"object": "list", "data": data})

    @routes.get("/models/{model:path}")
    async def retrieve_model(model: str) -> Response:
        """One name; 404 `model_not_found` where nobody answers to it."""
        return json_answer(model_json(await inference.offered(model), created))


def _add_text(routes: APIRouter, inference: Inference) -> None:
    @routes.post("/chat/completions", openapi_extra=takes(wire.ChatCompletion))
    async def create_chat_completion(request: Request) -> Response:
        """Answers a conversation, whole or streamed as server-sent events."""
        document = await read_object(request)
        refuse_unsupported(document, wire.UNSUPPORTED_CHAT)
        _refuse_in_messages(document)
        body = validate(wire.ChatCompletion, document, strict=True)
        exchange = exchange_of(request)
        messages = _messages(body.messages)
        tools = tool_use(body.tools, body.tool_choice, body.parallel_tool_calls)
        size = characters(messages, tools)
        route = route_to(exchange, body.model, Family.TEXT, size, user=body.end_user())
        max_tokens = _agreed(body.max_completion_tokens, body.max_tokens)
        renamed = body.max_completion_tokens is not None
        called = "max_completion_tokens" if renamed else "max_tokens"
        if max_tokens == 0:
            raise InvalidRequest(f"{called} must be at least 1", called)
        sampling = _sampling(
            body,
            max_tokens,
            _top_logprobs(body),
            await inference.defaults(route),
            {"max_tokens": called},
        )
        text = made(
            lambda: TextRequest(
                request_id=exchange.request_id,
                messages=messages,
                sampling=sampling,
                candidates=body.n or 1,
                constraint=_constraint(body.response_format),
                tool_use=tools,
                deadline_s=exchange.remaining_s(),
            ),
            _CALLERS_NAMES,
        )
        return await _answer(request, inference, route, [text], CHAT, body)

    @routes.post("/completions", openapi_extra=takes(wire.Completion))
    async def create_completion(request: Request) -> Response:
        """Continues one or several prompts, given as text or as token ids."""
        document = await read_object(request)
        refuse_unsupported(document, wire.UNSUPPORTED_COMPLETION)
        body = validate(wire.Completion, document, strict=True)
        exchange = exchange_of(request)
        prompts = _inputs(body.prompt)
        size = sum(map(len, prompts))
        route = route_to(exchange, body.model, Family.TEXT, size, user=body.end_user())
        max_tokens = wire.COMPLETION_MAX_TOKENS if body.max_tokens is None else body.max_tokens
        if max_tokens == 0 and not body.echo:
            raise InvalidRequest("max_tokens 0 leaves nothing to say without echo", "max_tokens")
        _check_best_of(body)
        defaults = await inference.defaults(route)
        sampling = _sampling(body, max_tokens, body.logprobs, defaults)
        texts = [_continuation(exchange, body, prompt, sampling) for prompt in prompts]
        return await _answer(request, inference, route, texts, COMPLETION, body)


def _add_encoding(routes: APIRouter, inference: Inference) -> None:
    @routes.post("/embeddings", openapi_extra=takes(wire.Embedding))
    async def create_embeddings(request: Request) -> Response:
        """Vectors of unit length for texts or token ids."""
        body = validate(wire.Embedding, await read_object(request), strict=True)
        exchange = exchange_of(request)
        inputs = _inputs(body.input)
        size = sum(map(len, inputs))
        route = route_to(
            exchange, body.model, Family.ENCODER, size, task=Task.EMBED, user=body.user
        )
        embedding = made(
            lambda: EmbeddingRequest(
                request_id=exchange.request_id,
                inputs=inputs,
                dimensions=body.dimensions,
                pooling=None if body.pooling is None else Pooling(body.pooling),
                deadline_s=exchange.remaining_s(),
            ),
            _CALLERS_NAMES,
        )
        async with WhileWanted(request.receive, exchange.remaining_s()):
            result = await inference.embed(exchange, route, embedding)
        model = exchange.records[0].decision.model
        return json_answer(embeddings_json(result, model, body.encoding_format or "float"))

    @routes.post("/tokenize", openapi_extra=takes(wire.Tokenize))
    async def tokenize(request: Request) -> Response:
        """Extension: `{tokens, count, model}` of a text, or of messages (and the tools that they
        may call) with the chat template."""
        document = await read_object(request)
        _refuse_in_messages(document)
        body = validate(wire.Tokenize, document, strict=True)
        if (body.text is None) == (body.messages is None):
            raise InvalidRequest("give exactly one of text and messages", "text")
        tools = tool_use(body.tools, body.tool_choice, None)
        if tools is not None and body.messages is None:
            raise InvalidRequest("tools need messages", "tools")
        exchange = exchange_of(request)
        messages = _messages(body.messages) if body.messages is not None else None
        size = len(body.text or "") if messages is None else characters(messages, tools)
        route = route_to(exchange, body.model, await inference.family(body.model), size)
        asked = CountTokensRequest(messages=messages, text=body.text, tool_use=tools)
        async with WhileWanted(request.receive, exchange.remaining_s()):
            count = await inference.count(exchange, route, asked)
        return json_answer(
            {
                "object": "tokens",
                "model": exchange.records[0].decision.model,
                "tokens": count.token_ids,
                "count": count.count,
            }
        )


def _continuation(
    exchange: Exchange, body: wire.Completion, prompt: str | tuple[int, ...], sampling: Sampling
) -> TextRequest:
    return made(
        lambda: TextRequest(
            request_id=exchange.request_id,
            text=prompt if isinstance(prompt, str) else None,
            token_ids=None if isinstance(prompt, str) else prompt,
            sampling=sampling,
            candidates=body.best_of or body.n or 1,
            echo=bool(body.echo),
            ranked=(body.best_of or 0) > (body.n or 1),
            constraint=_constraint(body.response_format),
            deadline_s=exchange.remaining_s(),
        ),
        _CALLERS_NAMES,
    )


async def _answer(
    request: Request,
    inference: Inference,
    route: RouteRequest,
    texts: Sequence[TextRequest],
    shape: Shape,
    body: wire.ChatCompletion | wire.Completion,
) -> Response:
    exchange = exchange_of(request)
    async with WhileWanted(request.receive, exchange.remaining_s()):
        # The first chunk comes before the head: an early failure has its own status.
        generation = await inference.generate(exchange, route, texts)
        if not body.stream:
            try:
                found = await generation.complete()
            finally:
                await generation.aclose()
            if texts[0].ranked:
                found = tuple(best(candidates, body.n or 1) for candidates in found)
            top = texts[0].sampling.logprobs
            return json_answer(answer_json(shape, exchange.request_id, generation, found, top))
    options = body.stream_options or wire.StreamOptions()
    writer = EventWriter(
        shape,
        exchange.request_id,
        generation,
        include_usage=bool(options.include_usage),
        include_receipt=exchange.body_receipt,
        top_logprobs=texts[0].sampling.logprobs,
    )
    return StreamAnswer(exchange, generation, writer)


def _sampling(
    body: wire.ChatCompletion | wire.Completion,
    max_tokens: int | None,
    logprobs: int | None,
    defaults: SamplingDefaults,
    public_names: Mapping[str, str] | None = None,
) -> Sampling:
    """What the caller said, else what the model's card advises."""
    return made(
        lambda: Sampling(
            max_tokens=max_tokens,
            temperature=_or(body.temperature, defaults.temperature),
            top_p=_or(body.top_p, defaults.top_p),
            top_k=_or(body.top_k, defaults.top_k),
            min_p=_or(body.min_p, 0.0),
            repetition_penalty=_or(body.repetition_penalty, defaults.repetition_penalty),
            presence_penalty=_or(body.presence_penalty, 0.0),
            frequency_penalty=_or(body.frequency_penalty, 0.0),
            logit_bias=_or(body.logit_bias, {}),
            seed=body.seed,
            stop=tuple(body.stop),
            logprobs=logprobs,
        ),
        public_names,
    )


def _top_logprobs(body: wire.ChatCompletion) -> int | None:
    """None: no logprobs."""
    if body.top_logprobs is not None and not body.logprobs:
        raise InvalidRequest("top_logprobs needs logprobs to be true", "top_logprobs")
    return (body.top_logprobs or 0) if body.logprobs else None


def _check_best_of(body: wire.Completion) -> None:
    if body.best_of is None:
        return
    if body.best_of < (body.n or 1):
        raise InvalidRequest("best_of must not be less than n", "best_of")
    if body.stream and body.best_of > (body.n or 1):
        raise InvalidRequest("the best of several can be known at the end only", "best_of")


def _constraint(response_format: ResponseFormat | None) -> Constraint | None:
    return None if response_format is None else response_format.constraint()


def _or(value: V | None, default: V) -> V:
    return default if value is None else value


def _agreed(new: int | None, old: int | None) -> int | None:
    """`max_completion_tokens` is `max_tokens`' newer name; two different values are a mistake."""
    if new is not None and old is not None and new != old:
        raise InvalidRequest("max_tokens and max_completion_tokens differ", "max_tokens")
    return old if new is None else new


def _messages(messages: Sequence[wire.Message]) -> tuple[ChatMessage, ...]:
    return tuple(
        ChatMessage(
            role="system" if message.role == "developer" else message.role,
            content=message.content or "",
            name=message.name,
            tool_calls=calls_made(message.tool_calls),
            tool_call_id=message.tool_call_id,
        )
        for message in messages
    )


def _inputs(
    given: str | list[str] | list[int] | list[list[int]],
) -> tuple[str | tuple[int, ...], ...]:
    """One text, several, one list of token ids or several: always several."""
    if isinstance(given, str):
        return (given,)
    found: list[str | tuple[int, ...]] = []
    token_ids: list[int] = []
    for one in given:
        if isinstance(one, int):
            token_ids.append(one)
        else:
            found.append(one if isinstance(one, str) else tuple(one))
    return (tuple(token_ids),) if token_ids else tuple(found)


def _refuse_in_messages(document: JsonObject) -> None:
    messages = document.get("messages")
    if not isinstance(messages, list):
        return
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            continue
        for name in wire.IGNORED_IN_MESSAGES:
            message.pop(name, None)
        where = f"messages[{index}]."
        refuse_unsupported(message, wire.UNSUPPORTED_MESSAGE, where)
