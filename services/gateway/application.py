"""Puts the gateway together: dialects, guards, layers. Its collaborators come from outside.

A new dialect is one line here and in `DIALECTS`. Knows neither Ray nor where keys
are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from fastapi import Depends, FastAPI, Request, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from bestiary.errors import BestiaryError, InvalidRequest, NotFound
from bestiary.garden.card import ModelCard
from bestiary.profile.applications import GatewayArgs
from bestiary.state.keys import KeyScope
from bestiary.telemetry.metrics import MetricSink, RequestMetrics
from services.gateway.answering import error_answer
from services.gateway.api_docs import describe_bodies
from services.gateway.auth import Authenticator, LookUp, requires
from services.gateway.dialects import openai_wire, palm_wire
from services.gateway.dialects.base import Dialects
from services.gateway.dialects.image_showing import Showing
from services.gateway.dialects.native import NATIVE, NATIVE_BODIES, native_routes
from services.gateway.dialects.native_images import (
    NATIVE_IMAGE_BODIES,
    NATIVE_IMAGES,
    native_image_routes,
)
from services.gateway.dialects.native_tuning import NATIVE_TUNING
from services.gateway.dialects.native_tuning_wire import NATIVE_TUNING_BODIES
from services.gateway.dialects.openai import OPENAI, openai_routes
from services.gateway.dialects.openai_files import FILES
from services.gateway.dialects.openai_fine_tuning import OPENAI_TUNING_BODIES
from services.gateway.dialects.openai_images import OPENAI_IMAGE_BODIES, openai_image_routes
from services.gateway.dialects.palm import PALM, palm_routes
from services.gateway.dispatch import Dispatch
from services.gateway.error_mapping import MethodNotAllowed
from services.gateway.exchange import exchange_of
from services.gateway.image_files import ImageLinks, image_file_routes
from services.gateway.image_store import ImageStore
from services.gateway.inference import Inference
from services.gateway.limits import RateLimits, limited
from services.gateway.metrics import MetricsPage, Targets
from services.gateway.middleware import BoundedBody, Observed
from services.gateway.platform_routes import platform_routes
from services.gateway.readiness import Readiness
from services.gateway.tuning_routes import tuning_routes
from services.router.loads import Loads
from services.tuning.service import TuningService

IMAGES = "/v1/images/"
FORM_BYTES = 64 * 1024  # of a form around its file
DIALECTS = Dialects((OPENAI, NATIVE, NATIVE_IMAGES, NATIVE_TUNING, PALM))
_DOCUMENTED_BODIES: tuple[type[BaseModel], ...] = (
    openai_wire.ChatCompletion,
    openai_wire.Completion,
    openai_wire.Embedding,
    openai_wire.Tokenize,
    *OPENAI_IMAGE_BODIES,
    *NATIVE_BODIES,
    *NATIVE_IMAGE_BODIES,
    *OPENAI_TUNING_BODIES,
    *NATIVE_TUNING_BODIES,
    palm_wire.GenerateText,
    palm_wire.GenerateMessage,
    palm_wire.EmbedText,
    palm_wire.BatchEmbedText,
    palm_wire.CountTextTokens,
    palm_wire.CountMessageTokens,
)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Collaborators:
    """What the gateway reaches the rest of the platform through."""

    dispatch: Dispatch
    loads: Callable[[], Loads]
    look_up: LookUp  # secret -> key; blocking
    sink: MetricSink
    metrics_targets: Targets
    image_store: ImageStore | None = None  # None: pictures have no URLs
    tuning: TuningService | None = None  # None: nothing is tuned here


def gateway_application(
    args: GatewayArgs,
    others: Collaborators,
    lifespan: Lifespan | None = None,
    *,
    server_echoes_request_id: bool = False,
) -> FastAPI:
    """The ASGI application of one gateway replica. `lifespan` wraps its life.

    Ray Serve puts the request's own `x-request-id` on every reply by itself.
    """
    gateway = args.profile.gateway
    inference = Inference(others.dispatch)
    authenticator = Authenticator(others.look_up)
    limits = RateLimits(gateway.rate_limit_storage, gateway.limits.requests_per_minute)
    app = FastAPI(
        title="Bestiary",
        description="Real models behind size tiers, in the dialects that SDKs already speak.",
        lifespan=lifespan,
        redirect_slashes=False,
    )
    counted = Depends(limited(limits))
    guards = [Depends(requires(authenticator, KeyScope.INFERENCE)), counted]
    app.include_router(openai_routes(inference), dependencies=guards)
    app.include_router(native_routes(inference), dependencies=guards)
    showing = Showing(None)
    if others.image_store is not None:
        showing = Showing(ImageLinks(others.image_store, gateway.public_url))
        app.include_router(image_file_routes(others.image_store))
    app.include_router(openai_image_routes(inference, showing), dependencies=guards)
    app.include_router(native_image_routes(inference, showing), dependencies=guards)
    app.include_router(palm_routes(inference, token_limits(args)), dependencies=guards)
    tuning = tuning_routes(inference, others.tuning)
    tuners = Depends(requires(authenticator, KeyScope.TUNING, KeyScope.ADMIN))
    admins = Depends(requires(authenticator, KeyScope.ADMIN))
    app.include_router(tuning.for_tuning, dependencies=[tuners, counted])
    app.include_router(tuning.for_admins, dependencies=[admins, counted])
    app.include_router(
        platform_routes(
            Readiness(args, others.dispatch, others.loads),
            MetricsPage(others.metrics_targets),
            () if gateway.open_metrics else (requires(authenticator, KeyScope.ADMIN),),
        )
    )
    _answer_errors(app)
    describe_bodies(app, _DOCUMENTED_BODIES)
    app.add_middleware(
        BoundedBody,
        max_bytes=int(gateway.limits.max_body_mb * 2**20),
        max_bytes_under=_larger_bodies(args),
    )
    app.add_middleware(  # the last one added is the outermost
        Observed,
        dialects=DIALECTS,
        metrics=RequestMetrics(others.sink),
        request_timeout_s=gateway.limits.request_timeout_s,
        server_echoes_request_id=server_echoes_request_id,
    )
    return app


def _larger_bodies(args: GatewayArgs) -> dict[str, int]:
    """Bytes, by the beginning of a path."""
    tuning = args.profile.tuning
    images = int(args.profile.gateway.limits.max_image_body_mb * 2**20)
    files = {} if tuning is None else {FILES: int(tuning.max_file_mb * 2**20) + FORM_BYTES}
    return {IMAGES: images, **files}


def token_limits(args: GatewayArgs) -> Callable[[ModelCard, str], int]:
    """Tokens that a deployment takes: its card's context, or less where the profile says so."""

    def limit(card: ModelCard, deployment: str) -> int:
        of_profile = args.profile.deployments.get(deployment)  # None: a published model's own
        text = of_profile.text if of_profile is not None else None
        return min(card.context_length, text.context) if text is not None else card.context_length

    return limit


def _answer_errors(app: FastAPI) -> None:
    async def typed(request: Request, error: Exception) -> Response:
        if not isinstance(error, BestiaryError):
            raise TypeError(f"no handler for {type(error)}")
        return error_answer(exchange_of(request), error)

    async def of_routing(request: Request, error: Exception) -> Response:
        """Starlette's own: no such path, no such method."""
        if not isinstance(error, HTTPException):
            raise TypeError(f"no handler for {type(error)}")
        answer = error_answer(exchange_of(request), _as_typed(request, error))
        answer.headers.update(error.headers or {})  # Allow
        return answer

    app.add_exception_handler(BestiaryError, typed)
    app.add_exception_handler(HTTPException, of_routing)


def _as_typed(request: Request, error: HTTPException) -> BestiaryError:
    path = request.url.path[:200]
    if error.status_code == 404:
        return NotFound(f"there is nothing at {request.method} {path}; see /docs")
    if error.status_code == 405:
        return MethodNotAllowed(f"{path} does not take {request.method}; see /docs")
    return InvalidRequest(str(error.detail))
