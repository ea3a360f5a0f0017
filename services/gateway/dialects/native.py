"""The native API under /v1: one route for each task of `native_tasks.py`.

`native_wire.py` has what comes in, `native_reply.py` what goes out. Errors are in OpenAI's
shape, as everything else under /v1. Knows neither Serve nor who may call.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from bestiary.schemas.routing import RouteRequest
from bestiary.schemas.seq2seq import Seq2SeqRequest
from services.gateway.answering import StreamAnswer, json_answer
from services.gateway.api_docs import takes
from services.gateway.dialects import native_wire as wire
from services.gateway.dialects.base import Dialect
from services.gateway.dialects.callers_words import in_the_callers_words
from services.gateway.dialects.native_reply import RewriteEvents, document
from services.gateway.dialects.native_tasks import NATIVE_TASKS, NativeTask, Shared, W
from services.gateway.error_mapping import OpenAIErrors
from services.gateway.exchange import exchange_of
from services.gateway.hang_up import WhileWanted
from services.gateway.inference import Inference, route_to
from services.gateway.reading import made, read_object, validate
from services.router.names import AUTO
from services.router.replica_methods import Q, R

NATIVE = Dialect(
    name="native",
    prefixes=tuple(f"/v1{task.path}" for task in NATIVE_TASKS),
    errors=OpenAIErrors(),
)
NATIVE_BODIES: tuple[type[wire.Native], ...] = tuple(task.body for task in NATIVE_TASKS)


def native_routes(inference: Inference) -> APIRouter:
    """POST fill-mask, next-sentence, ...: see `NATIVE_TASKS`."""
    routes = APIRouter(prefix="/v1", tags=["Native"])
    for task in NATIVE_TASKS:
        _add(routes, inference, task)
    return routes


def _add(routes: APIRouter, inference: Inference, task: NativeTask[W, Q, R]) -> None:
    async def answer(request: Request) -> Response:
        body = validate(task.body, await read_object(request), strict=True)
        exchange = exchange_of(request)
        shared: Shared = {
            "request_id": exchange.request_id,
            "truncate": bool(body.truncate),
            "deadline_s": exchange.remaining_s(),
        }
        asked = made(lambda: task.request(body, shared), body.public_names())
        route = route_to(
            exchange,
            body.model or AUTO,
            task.family,
            task=task.task,
            languages=body.languages(),
        )
        with in_the_callers_words(body.public_names()):
            if isinstance(asked, Seq2SeqRequest) and isinstance(body, wire.Rewrite) and body.stream:
                return await _streamed(request, inference, route, asked, task)
            return await _whole(request, inference, route, asked, body, task)

    routes.add_api_route(
        task.path,
        answer,
        methods=["POST"],
        name=task.task.value,
        description=task.description,
        openapi_extra=takes(task.body),
    )


async def _whole(
    request: Request,
    inference: Inference,
    route: RouteRequest,
    asked: Q,
    body: W,
    task: NativeTask[W, Q, R],
) -> Response:
    exchange = exchange_of(request)
    async with WhileWanted(request.receive, exchange.remaining_s()):
        result = await inference.ask(exchange, route, task.method, asked, task.usage)
    model = exchange.records[0].decision.model
    answer = task.answer(result, body)
    return json_answer(document(exchange.request_id, model, answer, task.usage(result)))


async def _streamed(
    request: Request,
    inference: Inference,
    route: RouteRequest,
    asked: Seq2SeqRequest,
    task: NativeTask[W, Q, R],
) -> Response:
    exchange = exchange_of(request)
    async with WhileWanted(request.receive, exchange.remaining_s()):
        # The first piece comes before the head: an early failure has its own status.
        rewriting = await inference.rewrite(exchange, route, asked)
    writer = RewriteEvents(
        exchange.request_id, task.task, rewriting, include_receipt=exchange.body_receipt
    )
    return StreamAnswer(exchange, rewriting, writer)
