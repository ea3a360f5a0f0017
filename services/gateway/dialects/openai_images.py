"""OpenAI's image API under /v1/images: its wire to our requests, our pictures to its wire.

A model that makes pictures of classes answers `generations` too: the prompt is then a class's
name, or empty. Knows neither Serve nor who may call.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TypeVar

from fastapi import APIRouter, Request, Response

from bestiary.errors import InvalidRequest, UnsupportedParameter
from bestiary.garden.card import Family, ModelCard
from bestiary.garden.image_facts import ImageFacts
from bestiary.garden.tasks import Task, tasks_of
from bestiary.schemas.image import (
    ImageToImageRequest,
    InpaintRequest,
    PictureRequest,
    SampleRequest,
    TextPrompt,
    TextToImageRequest,
    VariationRequest,
)
from bestiary.schemas.routing import RouteRequest
from services.gateway.answering import StreamAnswer, json_answer
from services.gateway.api_docs import takes_forms
from services.gateway.dialects import openai_images_wire as wire
from services.gateway.dialects.callers_words import in_the_callers_words
from services.gateway.dialects.image_fields import encoded
from services.gateway.dialects.image_showing import Showing
from services.gateway.dialects.openai_images_reply import ImageEvents, images_json
from services.gateway.exchange import Exchange, exchange_of
from services.gateway.hang_up import WhileWanted
from services.gateway.inference import Inference, route_to
from services.gateway.reading import made, refuse_unsupported, validate
from services.gateway.reading_forms import read_fields
from services.router.names import AUTO

OPENAI_IMAGE_BODIES = (wire.ImageGeneration, wire.ImageEdit, wire.ImageVariation)
_MODELLESS = (None, AUTO)
W = TypeVar("W", bound=wire.ImageGeneration | wire.ImageEdit | wire.ImageVariation)
Body = wire.ImageGeneration | wire.ImageEdit | wire.ImageVariation


@dataclass(frozen=True, slots=True)
class _Asked:
    route: RouteRequest
    request: PictureRequest
    facts: ImageFacts | None  # of the model that answers while nothing is overloaded


def openai_image_routes(inference: Inference, showing: Showing) -> APIRouter:
    """POST generations, edits, variations."""
    routes = APIRouter(prefix="/v1/images", tags=["OpenAI images"])
    door = _Door(inference, showing)

    @routes.post("/generations", openapi_extra=takes_forms(wire.ImageGeneration))
    async def create_image(request: Request) -> Response:
        """Pictures of what a prompt says, whole or streamed with unfinished ones on the way."""
        body = await _body(request, wire.ImageGeneration)
        body.check_streaming()
        with in_the_callers_words(body.public_names()):
            asked = await door.generation(exchange_of(request), body)
            if body.stream:
                return await door.streamed(request, asked, "image_generation")
            return await door.whole(request, asked, body)

    @routes.post("/edits", openapi_extra=takes_forms(wire.ImageEdit))
    async def create_image_edit(request: Request) -> Response:
        """The masked part of a picture made anew, or without a mask the whole of it."""
        body = await _body(request, wire.ImageEdit)
        body.check_streaming()
        with in_the_callers_words(body.public_names()):
            asked = await door.edit(exchange_of(request), body)
            if body.stream:
                return await door.streamed(request, asked, "image_edit")
            return await door.whole(request, asked, body)

    @routes.post("/variations", openapi_extra=takes_forms(wire.ImageVariation))
    async def create_image_variation(request: Request) -> Response:
        """Pictures like a given one."""
        body = await _body(request, wire.ImageVariation)
        with in_the_callers_words(body.public_names()):
            asked = await door.variation(exchange_of(request), body)
            return await door.whole(request, asked, body)

    return routes


class _Door:
    def __init__(self, inference: Inference, showing: Showing) -> None:
        self._inference = inference
        self._showing = showing

    async def generation(self, exchange: Exchange, body: wire.ImageGeneration) -> _Asked:
        if body.model not in _MODELLESS:
            card = await self._inference.named(body.model or AUTO)
            if _only_samples(card):
                return await self._sample(exchange, body, card)
        request = made(
            lambda: TextToImageRequest.model_validate(
                {
                    **_generated(exchange, body),
                    "prompt": _prompt(body.prompt, body.negative_prompt),
                }
            ),
            body.public_names(),
        )
        return await self._asked(exchange, body, Task.TEXT_TO_IMAGE, request)

    async def edit(self, exchange: Exchange, body: wire.ImageEdit) -> _Asked:
        image = encoded(_only(body.image))
        prompted = None
        if body.prompt is not None and body.prompt.strip():
            prompted = _prompt(body.prompt, body.negative_prompt)
        elif body.negative_prompt is not None:
            raise InvalidRequest("negative_prompt needs prompt", "negative_prompt")
        mask = body.mask

        def request() -> InpaintRequest | ImageToImageRequest:
            made_of = {
                **_drawn(exchange, body),
                **_strength(body),
                "image": image,
                "prompt": prompted,
                "previews": body.partial_images or 0,
            }
            if mask is None:
                return ImageToImageRequest.model_validate(made_of)
            return InpaintRequest.model_validate({**made_of, "mask": encoded(mask)})

        task = Task.IMAGE_TO_IMAGE if mask is None else Task.INPAINT
        asked = await self._asked(exchange, body, task, made(request, body.public_names()))
        _check_size(body, asked.facts)
        return asked

    async def variation(self, exchange: Exchange, body: wire.ImageVariation) -> _Asked:
        request = made(
            lambda: VariationRequest.model_validate(
                {
                    **_drawn(exchange, body),
                    **_strength(body),
                    "image": encoded(_only(body.image)),
                }
            ),
            body.public_names(),
        )
        asked = await self._asked(exchange, body, Task.VARIATION, request)
        _check_size(body, asked.facts)
        return asked

    async def whole(self, request: Request, asked: _Asked, body: Body) -> Response:
        exchange = exchange_of(request)
        show = self._showing.of(request, as_urls=body.as_urls())
        async with WhileWanted(request.receive, exchange.remaining_s()):
            drawing = await self._inference.draw(exchange, asked.route, asked.request)
            try:
                images = await drawing.complete()
            finally:
                await drawing.aclose()
        model = drawing.decision.model
        return json_answer(await asyncio.to_thread(images_json, images, model, asked.facts, show))

    async def streamed(self, request: Request, asked: _Asked, kind: str) -> Response:
        exchange = exchange_of(request)
        async with WhileWanted(request.receive, exchange.remaining_s()):
            # The first news comes before the head: an early failure has its own status.
            drawing = await self._inference.draw(exchange, asked.route, asked.request)
        writer = ImageEvents(kind, drawing, asked.facts, include_receipt=exchange.body_receipt)
        return StreamAnswer(exchange, drawing, writer)

    async def _sample(
        self, exchange: Exchange, body: wire.ImageGeneration, card: ModelCard
    ) -> _Asked:
        if body.negative_prompt:
            raise UnsupportedParameter(f"{card.id} takes no prompt", "negative_prompt")
        request = made(
            lambda: SampleRequest.model_validate(
                {**_generated(exchange, body), "label": _label(body.prompt, card)}
            ),
            {**body.public_names(), "label": "prompt"},
        )
        return await self._asked(exchange, body, Task.GENERATE, request)

    async def _asked(
        self, exchange: Exchange, body: Body, task: Task, request: PictureRequest
    ) -> _Asked:
        model, user = body.model or AUTO, body.end_user()
        route = route_to(exchange, model, Family.IMAGE, task=task, user=user)
        return _Asked(route, request, (await self._inference.card(route)).image)


async def _body(request: Request, model: type[W]) -> W:
    fields, strict = await read_fields(request)
    refuse_unsupported(fields, wire.UNSUPPORTED_IMAGES)
    return validate(model, fields, strict=strict)


def _prompt(prompt: str, negative: str | None) -> TextPrompt:
    return TextPrompt(text=prompt, negative=negative or "")


def _drawn(exchange: Exchange, body: Body) -> dict[str, object]:
    """What all requests have."""
    said = {"images": body.n, "best_of": body.best_of, "seed": body.seed}
    return {
        "request_id": exchange.request_id,
        "deadline_s": exchange.remaining_s(),
        **{name: value for name, value in said.items() if value is not None},
        "format": body.picture_format(),
        "denoising": body.denoising(),
    }


def _generated(exchange: Exchange, body: wire.ImageGeneration) -> dict[str, object]:
    """What is asked of pictures that begin from nothing."""
    size = body.width_and_height()
    return {
        **_drawn(exchange, body),
        **({} if size is None else {"width": size[0], "height": size[1]}),
        "previews": body.partial_images or 0,
    }


def _strength(body: wire.ImageEdit | wire.ImageVariation) -> dict[str, object]:
    return {} if body.strength is None else {"strength": body.strength}


def _check_size(body: Body, facts: ImageFacts | None) -> None:
    """A given picture comes back at the model's size, whatever its own."""
    size = body.width_and_height()
    if size is not None and facts is not None and size != (facts.width, facts.height):
        raise UnsupportedParameter(
            f"this model makes {facts.width}x{facts.height} of a picture that is given; "
            f"leave size out",
            "size",
        )


def _only(files: list[bytes]) -> bytes:
    if len(files) > 1:
        raise UnsupportedParameter(
            f"one picture is worked on at a time; {len(files)} were sent", "image"
        )
    return files[0]


def _only_samples(card: ModelCard) -> bool:
    tasks = tasks_of(card)
    return (
        card.family is Family.IMAGE and Task.TEXT_TO_IMAGE not in tasks and Task.GENERATE in tasks
    )


def _label(prompt: str, card: ModelCard) -> str | None:
    """None: of no class in particular. Raises InvalidRequest for a prompt that is no class."""
    asked = prompt.strip()
    classes = card.image.classes if card.image is not None else ()
    if not asked:
        return None
    for label in classes:
        if label.casefold() == asked.casefold():
            return label
    known = f"one of {', '.join(classes)}, or empty" if classes else "empty"
    raise InvalidRequest(
        f"{card.id} reads no text: prompt must be {known}; "
        f"GET /v1/models tells which models can do text-to-image",
        "prompt",
    )
