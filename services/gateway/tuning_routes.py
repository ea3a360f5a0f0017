"""All routes of tuning, OpenAI's and our own; in their place a word where nothing is tuned here."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from bestiary.errors import NotFound
from services.gateway.blocking import Threads
from services.gateway.dialects.native_tuning import (
    PREFIX,
    native_canary_routes,
    native_tuning_routes,
)
from services.gateway.dialects.openai_files import FILES, openai_file_routes
from services.gateway.dialects.openai_fine_tuning import openai_fine_tuning_routes
from services.gateway.inference import Inference
from services.tuning.service import TuningService

QUICK_THREADS = 4  # one look into the database each
SLOW_THREADS = 2  # read a whole training file, or draw
_PATHS = (FILES, f"{FILES}/{{rest:path}}", "/v1/fine_tuning/{rest:path}", f"{PREFIX}/{{rest:path}}")


@dataclass(frozen=True)
class TuningRoutes:
    for_tuning: APIRouter
    for_admins: APIRouter  # what moves other people's traffic


def tuning_routes(inference: Inference, tuning: TuningService | None) -> TuningRoutes:
    if tuning is None:
        return TuningRoutes(_nothing_is_tuned(), APIRouter())
    quick, slow = Threads(QUICK_THREADS, "tuning"), Threads(SLOW_THREADS, "tuning-data")
    routes = APIRouter()
    routes.include_router(openai_file_routes(tuning, quick, slow))
    routes.include_router(openai_fine_tuning_routes(inference, tuning, quick, slow))
    routes.include_router(native_tuning_routes(inference, tuning, quick, slow))
    return TuningRoutes(routes, native_canary_routes(inference, tuning, quick))


def _nothing_is_tuned() -> APIRouter:
    routes = APIRouter()

    async def refuse(request: Request) -> Response:
        raise NotFound(
            "models are not tuned on this platform: its profile has no section `tuning`; "
            "the operator can add one"
        )

    for path in _PATHS:
        routes.add_api_route(
            path, refuse, methods=["GET", "POST", "DELETE"], include_in_schema=False
        )
    return routes
