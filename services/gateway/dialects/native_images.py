"""The native API of images under /v1/images: one route for each task of `native_image_tasks.py`.

Takes JSON, or a form with files. `native_image_wire.py` has what comes in, `native_image_reply.py`
what goes out. Errors are in OpenAI's shape, as everything else under /v1. Knows neither Serve nor
who may call.
"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from bestiary.errors import InvalidRequest
from bestiary.garden.card import Family
from bestiary.garden.tasks import Task
from bestiary.schemas.image import PictureRequest
from bestiary.schemas.routing import RouteRequest
from services.gateway.answering import StreamAnswer, json_answer
from services.gateway.api_docs import takes_forms
from services.gateway.dialects import native_image_reply as reply
from services.gateway.dialects import native_image_wire as wire
from services.gateway.dialects.base import Dialect
from services.gateway.dialects.callers_words import in_the_callers_words
from services.gateway.dialects.image_fields import ImageBody
from services.gateway.dialects.image_showing import Showing, inline
from services.gateway.dialects.native_image_requests import ImageShared, request_of
from services.gateway.dialects.native_image_tasks import (
    ASK_TASKS,
    DRAW_TASKS,
    AskTask,
    B,
    DrawTask,
    Q,
    R,
)
from services.gateway.error_mapping import OpenAIErrors
from services.gateway.exchange import Exchange, exchange_of
from services.gateway.hang_up import WhileWanted
from services.gateway.inference import Inference, route_to
from services.gateway.reading import made, validate
from services.gateway.reading_forms import read_fields
from services.gateway.task_usage import TaskUsage
from services.router.names import AUTO

PREFIX = "/v1/images"
_PATHS = (*(task.path for task in DRAW_TASKS), *(task.path for task in ASK_TASKS))
NATIVE_IMAGES = Dialect(
    name="native",
    prefixes=tuple(f"{PREFIX}{path}" for path in _PATHS),
    errors=OpenAIErrors(),
)
NATIVE_IMAGE_BODIES: tuple[type[ImageBody], ...] = (
    *(task.body for task in DRAW_TASKS),
    *(task.body for task in ASK_TASKS),
)


def native_image_routes(inference: Inference, showing: Showing) -> APIRouter:
    """POST sample, text-to-image, ...: see `DRAW_TASKS` and `ASK_TASKS`."""
    routes = APIRouter(prefix=PREFIX, tags=["Native images"])
    for drawing in DRAW_TASKS:
        _add_drawing(routes, inference, showing, drawing)
    for asking in ASK_TASKS:
        _add_asking(routes, inference, showing, asking)
    return routes


def _add_drawing(routes: APIRouter, inference: Inference, showing: Showing, task: DrawTask) -> None:
    async def answer(request: Request) -> Response:
        body = await _body(request, task.body)
        exchange = exchange_of(request)
        _check_streaming(body)
        asked = made(lambda: request_of(task.request, body, _shared(exchange)), body.public_names())
        route = _route(exchange, body, task.task)
        with in_the_callers_words(body.public_names()):
            if body.stream:
                return await _streamed(request, inference, route, asked, task)
            return await _drawn(request, inference, showing, route, asked, body)

    _add(routes, task, answer)


def _add_asking(
    routes: APIRouter, inference: Inference, showing: Showing, task: AskTask[B, Q, R]
) -> None:
    async def answer(request: Request) -> Response:
        body = await _body(request, task.body)
        exchange = exchange_of(request)
        asked = made(
            lambda: request_of(task.method.asked, body, _shared(exchange)), body.public_names()
        )
        with in_the_callers_words(body.public_names()):
            return await _asked(request, inference, showing, asked, body, task)

    _add(routes, task, answer)


def _add(routes: APIRouter, task: DrawTask | AskTask[B, Q, R], answer: object) -> None:
    routes.add_api_route(
        task.path,
        answer,  # type: ignore[arg-type]  # a coroutine function of a request, both times
        methods=["POST"],
        name=task.task.value,
        description=task.description,
        openapi_extra=takes_forms(task.body),
    )


async def _asked(
    request: Request,
    inference: Inference,
    showing: Showing,
    asked: Q,
    body: B,
    task: AskTask[B, Q, R],
) -> Response:
    exchange = exchange_of(request)
    urls = isinstance(body, wire.Pictured) and body.as_urls()
    show = showing.of(request, as_urls=urls) if urls else inline
    async with WhileWanted(request.receive, exchange.remaining_s()):
        result = await inference.ask(
            exchange,
            _route(exchange, body, task.task),
            task.method,
            asked,
            lambda answered: TaskUsage(0, None, answered.timings, images=task.images(answered)),
        )
    answer = await asyncio.to_thread(task.answer, result, body, show)
    read = len(getattr(body, "images", None) or ())
    return _whole(exchange, answer, reply.asking_usage(exchange.images or read, result))


async def _drawn(
    request: Request,
    inference: Inference,
    showing: Showing,
    route: RouteRequest,
    asked: PictureRequest,
    body: wire.Generate,
) -> Response:
    exchange = exchange_of(request)
    show = showing.of(request, as_urls=body.as_urls())
    async with WhileWanted(request.receive, exchange.remaining_s()):
        drawing = await inference.draw(exchange, route, asked)
        try:
            images = await drawing.complete()
        finally:
            await drawing.aclose()
    answer = await asyncio.to_thread(reply.drawn_json, images, show)
    return _whole(exchange, answer, reply.drawing_usage(images))


async def _streamed(
    request: Request,
    inference: Inference,
    route: RouteRequest,
    asked: PictureRequest,
    task: DrawTask,
) -> Response:
    exchange = exchange_of(request)
    async with WhileWanted(request.receive, exchange.remaining_s()):
        # The first news comes before the head: an early failure has its own status.
        drawing = await inference.draw(exchange, route, asked)
    writer = reply.DrawingEvents(
        exchange.request_id, task.task, drawing, include_receipt=exchange.body_receipt
    )
    return StreamAnswer(exchange, drawing, writer)


def _whole(exchange: Exchange, answer: reply.Json, usage: reply.Json) -> Response:
    model = exchange.records[0].decision.model
    return json_answer(reply.document(exchange.request_id, model, answer, usage))


async def _body(request: Request, model: type[B]) -> B:
    fields, strict = await read_fields(request)
    return validate(model, fields, strict=strict)


def _shared(exchange: Exchange) -> ImageShared:
    return {"request_id": exchange.request_id, "deadline_s": exchange.remaining_s()}


def _route(exchange: Exchange, body: ImageBody, task: Task) -> RouteRequest:
    return route_to(exchange, body.model or AUTO, Family.IMAGE, task=task)


def _check_streaming(body: wire.Generate) -> None:
    if body.stream and body.as_urls():
        raise InvalidRequest("a stream has its pictures as b64_json", "response_format")
    if body.previews and not body.stream:
        raise InvalidRequest("previews need stream to be true", "previews")
