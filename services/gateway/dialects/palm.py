"""The PaLM API (Generative Language) under /v1beta2, /v1beta3 and /v1beta.

Its wire to our requests, our results to its wire. `palm_wire.py` has what comes in,
`palm_reply.py` what goes out. Query parameters (`$alt`, `key`) need no care here:
JSON with enums as integers is what is written anyway, as no reply has an enum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from fastapi import APIRouter, Request, Response

from bestiary.errors import InvalidRequest
from bestiary.garden.card import Family, ModelCard
from bestiary.garden.tasks import Task
from bestiary.schemas.encoder import EmbeddingRequest, EmbeddingResult
from bestiary.schemas.routing import RouteRequest
from bestiary.schemas.text import (
    ChatMessage,
    Constraint,
    CountTokensRequest,
    Role,
    Sampling,
    TextRequest,
    TokenCount,
)
from services.gateway.answering import json_answer
from services.gateway.api_docs import takes
from services.gateway.dialects import palm_wire as wire
from services.gateway.dialects.base import Dialect
from services.gateway.dialects.palm_reply import (
    embedding_json,
    embeddings_json,
    message_json,
    model_json,
    text_json,
)
from services.gateway.error_mapping import GoogleErrors
from services.gateway.exchange import Exchange, exchange_of
from services.gateway.generation import Candidate
from services.gateway.hang_up import WhileWanted
from services.gateway.inference import Inference, characters, route_to
from services.gateway.reading import made, read_object, validate

VERSIONS = ("v1beta2", "v1beta3", "v1beta")
PALM = Dialect(
    name="palm",
    prefixes=tuple(f"/{version}/" for version in VERSIONS),
    errors=GoogleErrors(),
)
DEFAULT_PAGE = 50
MAX_PAGE = 1000

TokenLimit = Callable[[ModelCard, str], int]  # (card, deployment) -> tokens that it takes
V = TypeVar("V")
_CALLERS_NAMES = {
    "candidates": "candidateCount",
    "inputs": "texts",
    "max_tokens": "maxOutputTokens",
    "stop": "stopSequences",
    "top_k": "topK",
    "top_p": "topP",
}


def palm_routes(inference: Inference, token_limit: TokenLimit) -> APIRouter:
    """GET models, models/M; POST models/M:generateText and the other methods; all versions."""
    routes = APIRouter(tags=["PaLM"])
    for version in VERSIONS:
        _add_generation(routes, f"/{version}/models/{{model:path}}", inference)
        _add_embedding(routes, f"/{version}/models/{{model:path}}", inference)
        _add_counting(routes, f"/{version}/models/{{model:path}}", inference)
        _add_models(routes, f"/{version}/models", inference, token_limit)
    return routes


def _add_models(
    routes: APIRouter, path: str, inference: Inference, token_limit: TokenLimit
) -> None:
    @routes.get(path)
    async def list_models(request: Request) -> Response:
        """Every name that can be asked for, paged by `pageSize` and `pageToken`."""
        offered = inference.models()
        start = _whole(request, "pageToken", 0)
        size = min(MAX_PAGE, _whole(request, "pageSize", 0) or DEFAULT_PAGE)
        page = offered[start : start + size]
        models = [model_json(one, token_limit(one.card, one.deployment)) for one in page]
        answer: dict[str, object] = {"models": models}
        if start + size < len(offered):
            answer["nextPageToken"] = str(start + size)
        return json_answer(answer)

    @routes.get(path + "/{model:path}")
    async def get_model(model: str) -> Response:
        """One name; NOT_FOUND where nobody answers to it."""
        one = await inference.offered(model)
        return json_answer(model_json(one, token_limit(one.card, one.deployment)))


def _add_generation(routes: APIRouter, path: str, inference: Inference) -> None:
    @routes.post(path + ":generateText", openapi_extra=takes(wire.GenerateText))
    async def generate_text(request: Request, model: str) -> Response:
        """Follows an instruction. A model that was not tuned for that continues the text."""
        body = validate(wire.GenerateText, await read_object(request), strict=False)
        exchange = exchange_of(request)
        route = route_to(exchange, model, Family.TEXT, len(body.prompt.text))
        card = await inference.card(route)
        if body.max_output_tokens == 0:
            raise InvalidRequest("maxOutputTokens must be at least 1", "maxOutputTokens")
        sampling = _sampling(card, body, body.max_output_tokens, body.stop_sequences)
        asked = ChatMessage(role="user", content=body.prompt.text)
        text = made(
            lambda: TextRequest(
                request_id=exchange.request_id,
                messages=(asked,) if card.instruct else None,
                text=None if card.instruct else body.prompt.text,
                sampling=sampling,
                candidates=body.candidate_count or 1,
                constraint=_constraint(body),
                deadline_s=exchange.remaining_s(),
            ),
            _CALLERS_NAMES,
        )
        return json_answer(text_json(await _complete(request, inference, route, text)))

    @routes.post(path + ":generateMessage", openapi_extra=takes(wire.GenerateMessage))
    async def generate_message(request: Request, model: str) -> Response:
        """Answers a conversation."""
        body = validate(wire.GenerateMessage, await read_object(request), strict=False)
        exchange = exchange_of(request)
        messages = _messages(body.prompt)
        route = route_to(exchange, model, Family.TEXT, characters(messages))
        sampling = _sampling(await inference.card(route), body, None, ())
        text = made(
            lambda: TextRequest(
                request_id=exchange.request_id,
                messages=messages,
                sampling=sampling,
                candidates=body.candidate_count or 1,
                constraint=_constraint(body),
                deadline_s=exchange.remaining_s(),
            ),
            _CALLERS_NAMES,
        )
        found = await _complete(request, inference, route, text)
        return json_answer(message_json(found, body.prompt.messages))


def _add_embedding(routes: APIRouter, path: str, inference: Inference) -> None:
    @routes.post(path + ":embedText", openapi_extra=takes(wire.EmbedText))
    async def embed_text(request: Request, model: str) -> Response:
        """One text's vector, of unit length."""
        body = validate(wire.EmbedText, await read_object(request), strict=False)
        return json_answer(embedding_json(await _embed(request, inference, model, (body.text,))))

    @routes.post(path + ":batchEmbedText", openapi_extra=takes(wire.BatchEmbedText))
    async def batch_embed_text(request: Request, model: str) -> Response:
        """Several texts' vectors, in their order."""
        body = validate(wire.BatchEmbedText, await read_object(request), strict=False)
        if bool(body.texts) == bool(body.requests):
            raise InvalidRequest("give exactly one of texts and requests, not empty", "texts")
        texts = body.texts or [one.text for one in body.requests]
        return json_answer(embeddings_json(await _embed(request, inference, model, texts)))


def _add_counting(routes: APIRouter, path: str, inference: Inference) -> None:
    @routes.post(path + ":countTextTokens", openapi_extra=takes(wire.CountTextTokens))
    async def count_text_tokens(request: Request, model: str) -> Response:
        """Tokens of a text as it stands, without a chat template."""
        body = validate(wire.CountTextTokens, await read_object(request), strict=False)
        asked = CountTokensRequest(text=body.prompt.text)
        count = await _count(request, inference, model, asked, len(body.prompt.text))
        return json_answer({"tokenCount": count.count})

    @routes.post(path + ":countMessageTokens", openapi_extra=takes(wire.CountMessageTokens))
    async def count_message_tokens(request: Request, model: str) -> Response:
        """Tokens of a conversation, its chat template included."""
        body = validate(wire.CountMessageTokens, await read_object(request), strict=False)
        messages = _messages(body.prompt)
        asked = CountTokensRequest(messages=messages)
        count = await _count(request, inference, model, asked, characters(messages))
        return json_answer({"tokenCount": count.count})


async def _complete(
    request: Request, inference: Inference, route: RouteRequest, text: TextRequest
) -> tuple[Candidate, ...]:
    exchange = exchange_of(request)
    async with WhileWanted(request.receive, exchange.remaining_s()):
        generation = await inference.generate(exchange, route, [text])
        try:
            return (await generation.complete())[0]
        finally:
            await generation.aclose()


async def _embed(
    request: Request, inference: Inference, model: str, texts: Sequence[str]
) -> EmbeddingResult:
    exchange = exchange_of(request)
    size = sum(map(len, texts))
    route = route_to(exchange, model, Family.ENCODER, size, task=Task.EMBED)
    embedding = made(
        lambda: EmbeddingRequest(
            request_id=exchange.request_id,
            inputs=tuple(texts),
            deadline_s=exchange.remaining_s(),
        ),
        _CALLERS_NAMES,
    )
    async with WhileWanted(request.receive, exchange.remaining_s()):
        return await inference.embed(exchange, route, embedding)


async def _count(
    request: Request, inference: Inference, model: str, asked: CountTokensRequest, size: int
) -> TokenCount:
    exchange: Exchange = exchange_of(request)
    route = route_to(exchange, model, await inference.family(model), size)
    async with WhileWanted(request.receive, exchange.remaining_s()):
        return await inference.count(exchange, route, asked)


def _sampling(
    card: ModelCard,
    body: wire.GenerateText | wire.GenerateMessage,
    max_tokens: int | None,
    stop: Sequence[str],
) -> Sampling:
    """What the caller said, else what the model's card advises (and `GET models` shows)."""
    defaults = card.sampling
    return made(
        lambda: Sampling(
            max_tokens=max_tokens,
            temperature=_or(body.temperature, defaults.temperature),
            top_p=_or(body.top_p, defaults.top_p),
            top_k=_or(body.top_k, defaults.top_k),
            repetition_penalty=defaults.repetition_penalty,
            stop=tuple(stop),
        ),
        _CALLERS_NAMES,
    )


def _constraint(body: wire.GenerateText | wire.GenerateMessage) -> Constraint | None:
    if body.response_format is None:
        return None
    found = body.response_format.constraint()
    return None if found is None else found.model_copy(update={"param": "responseFormat"})


def _or(value: V | None, default: V) -> V:
    return default if value is None else value


def _messages(prompt: wire.MessagePrompt) -> tuple[ChatMessage, ...]:
    """Context as the system's word, examples as earlier turns, then the turns.

    Who speaks last is the user; every other author is the model. Without authors
    they take turns, backwards from the last.
    """
    found: list[ChatMessage] = []
    if prompt.context:
        found.append(ChatMessage(role="system", content=prompt.context))
    for example in prompt.examples:
        found.append(ChatMessage(role="user", content=example.input.content))
        found.append(ChatMessage(role="assistant", content=example.output.content))
    named = any(message.author for message in prompt.messages)
    user = prompt.messages[-1].author
    last = len(prompt.messages) - 1
    for index, message in enumerate(prompt.messages):
        by_user = message.author == user if named else (last - index) % 2 == 0
        role: Role = "user" if by_user else "assistant"
        found.append(ChatMessage(role=role, content=message.content))
    return tuple(found)


def _whole(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidRequest(f"{name} must be a whole number of this service's making", name)
    return int(text)
