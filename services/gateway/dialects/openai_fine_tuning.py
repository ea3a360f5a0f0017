"""OpenAI's fine-tuning API under /v1/fine_tuning, and the deletion of tuned models.

`openai_fine_tuning_wire.py` has what comes in, `openai_fine_tuning_reply.py` what goes out. What
OpenAI's API has no word for is in `native_tuning.py`. Knows neither trainers nor who may call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fastapi import APIRouter, Request, Response

from bestiary.errors import InvalidRequest, PermissionDenied
from bestiary.schemas.tuning import Job, JobCheckpoint, JobEvent, JobStatus
from bestiary.state.pages import Page
from services.gateway.answering import json_answer
from services.gateway.api_docs import takes
from services.gateway.blocking import Threads
from services.gateway.dialects import openai_fine_tuning_wire as wire
from services.gateway.dialects.openai_fine_tuning_reply import (
    checkpoint_json,
    event_json,
    job_json,
)
from services.gateway.dialects.openai_pages import after_of, limit_of, page_json
from services.gateway.dialects.tuning_asks import TUNED, Asks
from services.gateway.exchange import exchange_of
from services.gateway.inference import Inference
from services.tuning.service import TuningService

JOBS = "/fine_tuning/jobs"
OPENAI_TUNING_BODIES = (wire.FineTuningJob,)
DEFAULT_PAGE = 20
DEFAULT_CHECKPOINTS = 10
MAX_IDEMPOTENCY_KEY = 255  # characters


def openai_fine_tuning_routes(
    inference: Inference, tuning: TuningService, quick: Threads, slow: Threads
) -> APIRouter:
    """POST, GET jobs; GET jobs/{id}; POST cancel, pause, resume; GET events, checkpoints."""
    routes = APIRouter(prefix="/v1", tags=["OpenAI fine-tuning"])
    _add_creation(routes, Asks(inference, tuning, slow), tuning, slow)
    _add_reading(routes, tuning, quick)
    _add_pages(routes, tuning, quick)
    _add_deletion(routes, inference, tuning, quick)
    for name, move in (
        ("cancel", tuning.jobs.cancel),
        ("pause", tuning.jobs.pause),
        ("resume", tuning.jobs.resume),
    ):
        _add_move(routes, name, move, quick)
    return routes


def _add_creation(routes: APIRouter, asks: Asks, tuning: TuningService, slow: Threads) -> None:
    @routes.post(JOBS, openapi_extra=takes(wire.FineTuningJob))
    async def create_job(request: Request) -> Response:
        """Puts a job into the queue. Sent again under one Idempotency-Key it is the same job."""
        key = _idempotency_key(request)
        asked = await asks.read(request)
        job = await slow.run(request, lambda: tuning.create(asked.spec, asked.base, key=key))
        return json_answer(job_json(job))


def _add_reading(routes: APIRouter, tuning: TuningService, quick: Threads) -> None:
    @routes.get(JOBS)
    async def list_jobs(request: Request) -> Response:
        """Newest first; `after`, `limit`, `metadata[key]=value` and our `status` in the query."""
        limit = limit_of(request, DEFAULT_PAGE, wire.MAX_JOBS_OF_A_PAGE)
        metadata, status = _metadata_filter(request), _status_filter(request)

        def page() -> Page[Job]:
            return tuning.jobs.list(
                after=after_of(request), limit=limit, metadata=metadata, status=status
            )

        found = await quick.run(request, page)
        return json_answer(page_json(found.data, found.has_more, job_json))

    @routes.get(f"{JOBS}/{{job_id}}")
    async def retrieve_job(request: Request, job_id: str) -> Response:
        """A job as it is now; `bestiary` has its plan, its progress and its evaluation."""
        return json_answer(job_json(await quick.run(request, lambda: tuning.jobs.get(job_id))))


def _add_pages(routes: APIRouter, tuning: TuningService, quick: Threads) -> None:
    @routes.get(f"{JOBS}/{{job_id}}/events")
    async def list_events(request: Request, job_id: str) -> Response:
        """What was told of a job and of each of its steps, newest first."""
        limit = limit_of(request, DEFAULT_PAGE, wire.MAX_EVENTS_OF_A_PAGE)

        def page() -> Page[JobEvent]:
            return tuning.jobs.events(job_id, after=after_of(request), limit=limit)

        found = await quick.run(request, page)
        return json_answer(page_json(found.data, found.has_more, event_json))

    @routes.get(f"{JOBS}/{{job_id}}/checkpoints")
    async def list_checkpoints(request: Request, job_id: str) -> Response:
        """States that the job can go on from, newest first."""
        limit = limit_of(request, DEFAULT_CHECKPOINTS, wire.MAX_EVENTS_OF_A_PAGE)

        def page() -> Page[JobCheckpoint]:
            return tuning.jobs.checkpoints(job_id, after=after_of(request), limit=limit)

        found = await quick.run(request, page)
        return json_answer(page_json(found.data, found.has_more, checkpoint_json))


def _add_move(routes: APIRouter, name: str, move: Callable[[str], Job], quick: Threads) -> None:
    async def move_job(request: Request, job_id: str) -> Response:
        return json_answer(job_json(await quick.run(request, partial(move, job_id))))

    routes.add_api_route(
        f"{JOBS}/{{job_id}}/{name}",
        move_job,
        methods=["POST"],
        name=f"{name}_job",
        description=f"{name.capitalize()}s a job; 409 where its state does not allow it.",
    )


def _add_deletion(
    routes: APIRouter, inference: Inference, tuning: TuningService, quick: Threads
) -> None:
    @routes.delete("/models/{model:path}")
    async def delete_model(request: Request, model: str) -> Response:
        """Takes a tuned model out of service; 409 while an alias sends requests to it."""
        if not model.startswith(TUNED):
            await inference.named(model)  # 404 where there is no such model
            raise PermissionDenied(
                f"{model} was not tuned here: only models whose name begins with {TUNED} can be "
                "deleted; what is served besides is the profile's to say"
            )
        await quick.run(request, lambda: tuning.models.delete(model))
        return json_answer({"id": model, "object": "model", "deleted": True})


def _idempotency_key(request: Request) -> str | None:
    """The caller's own: two callers with the same key get a job each."""
    given = request.headers.get("idempotency-key")
    if not given:
        return None
    if len(given) > MAX_IDEMPOTENCY_KEY:
        raise InvalidRequest(
            f"header Idempotency-Key is over {MAX_IDEMPOTENCY_KEY} characters", "idempotency-key"
        )
    return f"{exchange_of(request).tenant}:{given}"


def _metadata_filter(request: Request) -> dict[str, str] | None:
    """`metadata[k]=v`, as OpenAI's SDK writes it. None: any."""
    query = request.query_params
    wanted = {
        name.removeprefix("metadata[").removesuffix("]"): value
        for name, value in query.items()
        if name.startswith("metadata[") and name.endswith("]")
    }
    if "metadata" in query:
        raise InvalidRequest("filter by metadata[key]=value", "metadata")
    return wanted or None


def _status_filter(request: Request) -> JobStatus | None:
    """None: any."""
    given = request.query_params.get("status")
    if not given:
        return None
    try:
        return JobStatus(given)
    except ValueError as error:
        known = ", ".join(JobStatus)
        raise InvalidRequest(f"status must be one of {known}", "status") from error
