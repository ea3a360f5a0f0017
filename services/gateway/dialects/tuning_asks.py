"""The body of a job that is asked for -> its spec and its base model's card.

Both for jobs that are made and for ones that are only estimated.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from bestiary.errors import InvalidRequest, UnsupportedParameter
from bestiary.garden.card import Family, ModelCard
from bestiary.schemas.tuning import JobSpec, Method
from services.gateway.blocking import Threads
from services.gateway.dialects import openai_fine_tuning_wire as wire
from services.gateway.inference import Inference
from services.gateway.reading import made, read_object, refuse_unsupported, validate_as_json
from services.tuning.service import TuningService

TUNED = "ft:"


@dataclass(frozen=True)
class Asked:
    spec: JobSpec
    base: ModelCard


class Asks:
    """Names are resolved as for any request: a tier, an alias or a card."""

    def __init__(self, inference: Inference, tuning: TuningService, slow: Threads) -> None:
        self._inference = inference
        self._tuning = tuning
        self._slow = slow

    async def read(self, request: Request) -> Asked:
        """Raises InvalidRequest, and NotFound for models and files that are not there."""
        document = await read_object(request)
        refuse_unsupported(document, wire.UNSUPPORTED_JOB)
        body = validate_as_json(wire.FineTuningJob, document)
        base = await self._base(body.model)
        teacher = await self._teacher(body.bestiary.teacher)
        method = await self._method(request, body, base)
        spec = made(
            lambda: body.spec(base.id, method, None if teacher is None else teacher.id),
            body.public_names(),
        )
        return Asked(spec, base)

    async def _base(self, name: str) -> ModelCard:
        if name.startswith(TUNED):
            raise UnsupportedParameter(
                "a tuned model cannot be tuned on: name its base model, and put the data of both "
                "jobs into one training file",
                "model",
            )
        return await self._inference.named(name)

    async def _teacher(self, name: str | None) -> ModelCard | None:
        if name is None:
            return None
        card = await self._inference.named(name)
        if card.family is not Family.TEXT:
            raise InvalidRequest(
                f"{name} is no text model: only those can teach", "bestiary.teacher"
            )
        return card

    async def _method(self, request: Request, body: wire.FineTuningJob, base: ModelCard) -> Method:
        asked = body.asked_method()
        if asked is None and body.bestiary.teacher is not None:
            return Method.DISTILLATION
        if asked is not None:
            return asked
        file = body.training_file
        return await self._slow.run(request, lambda: self._tuning.method_for(base, file))
