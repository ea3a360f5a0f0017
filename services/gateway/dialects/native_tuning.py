"""The native API of tuning under /v1/tuning: estimates, curves, lineage, canaries.

Errors are in OpenAI's shape, as everything else under /v1. Knows neither trainers nor who may call.
"""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request, Response

from bestiary.errors import InvalidRequest, NotFound
from bestiary.garden.card import ModelCard
from bestiary.schemas.publishing import Canary
from services.gateway.answering import json_answer
from services.gateway.api_docs import takes
from services.gateway.blocking import Threads
from services.gateway.dialects import native_tuning_wire as wire
from services.gateway.dialects.base import Dialect
from services.gateway.dialects.openai_fine_tuning_wire import FineTuningJob
from services.gateway.dialects.openai_pages import page_json
from services.gateway.dialects.tuning_asks import TUNED, Asks
from services.gateway.error_mapping import OpenAIErrors
from services.gateway.inference import Inference
from services.gateway.reading import read_object, validate_as_json
from services.tuning.service import TuningService

PREFIX = "/v1/tuning"
NATIVE_TUNING = Dialect(name="native", prefixes=(f"{PREFIX}/",), errors=OpenAIErrors())


def native_tuning_routes(
    inference: Inference, tuning: TuningService, quick: Threads, slow: Threads
) -> APIRouter:
    """POST estimate; GET jobs/{id}/metrics, jobs/{id}/curve.png, models, models/{id}, canaries."""
    routes = APIRouter(prefix=PREFIX, tags=["Native tuning"])
    _add_estimate(routes, Asks(inference, tuning, slow), tuning, slow)
    _add_watching(routes, tuning, slow)
    _add_models(routes, tuning, quick)
    _add_reading_canaries(routes, tuning, quick)
    return routes


def native_canary_routes(inference: Inference, tuning: TuningService, quick: Threads) -> APIRouter:
    """What moves traffic: POST canaries, canaries/{alias}/move; DELETE canaries/{alias}."""
    routes = APIRouter(prefix=PREFIX, tags=["Native tuning"])

    @routes.post("/canaries", openapi_extra=takes(wire.StartCanary))
    async def start_canary(request: Request) -> Response:
        """Splits an alias's traffic between a base and a candidate; 409 where that is done."""
        body = validate_as_json(wire.StartCanary, await read_object(request))

        async def card(name: str) -> ModelCard:
            """Of what may be published but not served yet: its record has the card."""
            if name.startswith(TUNED):
                return (await quick.run(request, lambda: tuning.models.get(name))).card
            return await inference.named(name)

        base = await _meant(inference, body) if body.base is None else await card(body.base)
        _check_sides(body, base, await card(body.candidate))
        start = partial(
            tuning.canaries.start,
            body.alias,
            body.base or base.id,
            body.candidate,
            body.rules,
            weight=body.weight,
        )
        return json_answer(wire.canary_json(await quick.run(request, start)))

    @routes.post("/canaries/{alias:path}/move", openapi_extra=takes(wire.MoveCanary))
    async def move_canary(request: Request, alias: str) -> Response:
        """To a weight, to a step of the rules, to the candidate for good, or back to the base."""
        body = validate_as_json(wire.MoveCanary, await read_object(request))

        def move() -> Canary:
            if body.promote:
                return tuning.promote(alias)
            if body.rollback:
                return tuning.roll_back(alias)
            return tuning.move_canary(alias, step=body.step, weight=body.weight)

        return json_answer(wire.canary_json(await quick.run(request, move)))

    @routes.delete("/canaries/{alias:path}")
    async def end_canary(request: Request, alias: str) -> Response:
        """The alias means again what it meant before."""
        await quick.run(request, lambda: tuning.canaries.end(alias))
        return json_answer({"alias": alias, "object": "tuning.canary", "deleted": True})

    return routes


def _add_estimate(routes: APIRouter, asks: Asks, tuning: TuningService, slow: Threads) -> None:
    @routes.post("/estimate", openapi_extra=takes(FineTuningJob))
    async def estimate_job(request: Request) -> Response:
        """What a job would be: its plan, tokens, duplicates, overlap, lengths, time and cost.
        Takes the body of POST /v1/fine_tuning/jobs and makes none."""
        asked = await asks.read(request)
        found = await slow.run(request, lambda: tuning.estimate(asked.spec, asked.base))
        return json_answer(wire.estimate_json(found))


def _add_watching(routes: APIRouter, tuning: TuningService, slow: Threads) -> None:
    @routes.get("/jobs/{job_id}/metrics")
    async def job_metrics(request: Request, job_id: str) -> Response:
        """What was measured in every step, by step: never paged."""
        events = await slow.run(request, lambda: tuning.jobs.metrics(job_id))
        return json_answer(wire.metrics_json(job_id, [event.data for event in events]))

    @routes.get("/jobs/{job_id}/curve.png")
    async def job_curve(request: Request, job_id: str) -> Response:
        """The losses and the learning rate as a picture."""
        picture = await slow.run(request, lambda: tuning.curve(job_id))
        return Response(picture, media_type="image/png", headers={"cache-control": "no-cache"})


def _add_models(routes: APIRouter, tuning: TuningService, quick: Threads) -> None:
    @routes.get("/models")
    async def list_tuned_models(request: Request) -> Response:
        """Every published model with where it comes from, oldest first."""
        models = await quick.run(request, tuning.models.list)
        return json_answer(page_json(models, False, wire.model_json))

    @routes.get("/models/{model:path}")
    async def retrieve_tuned_model(request: Request, model: str) -> Response:
        """One published model: its base, data, hyperparameters, evaluation."""
        return json_answer(
            wire.model_json(await quick.run(request, lambda: tuning.models.get(model)))
        )


def _add_reading_canaries(routes: APIRouter, tuning: TuningService, quick: Threads) -> None:
    @routes.get("/canaries")
    async def list_canaries(request: Request) -> Response:
        """Every alias whose traffic is or was split, by alias."""
        found = await quick.run(request, tuning.canaries.list)
        data = [wire.canary_json(one) for one in found]
        return json_answer({"object": "list", "data": data, "has_more": False})

    @routes.get("/canaries/{alias:path}")
    async def retrieve_canary(request: Request, alias: str) -> Response:
        """One alias's split, and what each side has done in the present step."""
        return json_answer(
            wire.canary_json(await quick.run(request, lambda: tuning.canaries.get(alias)))
        )


async def _meant(inference: Inference, body: wire.StartCanary) -> ModelCard:
    """What the alias stands for so far."""
    try:
        return await inference.named(body.alias)
    except NotFound as error:
        raise InvalidRequest(
            f"{body.alias} means no model yet: name the base that it is to mean", "base"
        ) from error


def _check_sides(body: wire.StartCanary, base: ModelCard, candidate: ModelCard) -> None:
    if body.alias in (body.base, body.candidate):
        raise InvalidRequest("an alias cannot stand for itself: name models", "alias")
    if base.family is not candidate.family:
        raise InvalidRequest(
            f"{body.candidate} is of family {candidate.family}, {base.id} of {base.family}: "
            "they do not answer the same requests",
            "candidate",
        )
