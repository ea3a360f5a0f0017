"""OpenAI's wire of images: what callers get, whole or as named events.

https://platform.openai.com/docs/api-reference/images-streaming. Pictures are not counted in tokens
here, so those of `usage` are 0; what they cost is beside them. Extensions are in `bestiary`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import orjson

from bestiary.garden.image_facts import ImageFacts
from bestiary.schemas.image import GeneratedImage, ImageChunk, Picture
from services.gateway.dialects.image_showing import Show, inline
from services.gateway.dialects.native_image_reply import drawing_usage
from services.gateway.drawing import Drawing
from services.gateway.error_mapping import OpenAIErrors, PublicError
from services.gateway.receipts import with_field

Json = dict[str, object]
WITH_ALPHA = 4  # channels
_ERRORS = OpenAIErrors()


def images_json(
    images: Sequence[GeneratedImage], model: str, facts: ImageFacts | None, show: Show
) -> Json:
    first = images[0].picture
    return {
        "created": int(time.time()),
        "data": [{**show(image.picture), "bestiary": _facts_json(image)} for image in images],
        **_look_json(first, facts),
        "usage": _usage_json(images),
        "model": model,
    }


def _look_json(picture: Picture, facts: ImageFacts | None) -> Json:
    transparent = facts is not None and facts.channels == WITH_ALPHA
    return {
        "background": "transparent" if transparent else "opaque",
        "output_format": picture.format.value,
        "size": f"{picture.width}x{picture.height}",
    }


def _facts_json(image: GeneratedImage) -> Json:
    scored: Json = {} if image.score is None else {"score": image.score, "scores": image.scores}
    return {
        "seed": image.seed,
        **scored,
        "steps": image.work.steps,
        "evaluations": image.work.evaluations,
        "seconds": image.work.seconds,
    }


def _usage_json(images: Sequence[GeneratedImage]) -> Json:
    return {
        "input_tokens": 0,
        "output_tokens": 0,
        "total_tokens": 0,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
        **drawing_usage(images),
    }


class ImageEvents:
    """A `FrameWriter` of named events; nothing comes after the last one's.

    `kind` is `image_generation` or `image_edit`. A completed picture is held back until the next
    news: the receipt may have to go into the last one.
    """

    media_type = "text/event-stream"

    def __init__(
        self, kind: str, drawing: Drawing, facts: ImageFacts | None, *, include_receipt: bool
    ) -> None:
        self._kind = kind
        self._drawing = drawing
        self._facts = facts
        self._include_receipt = include_receipt
        self._partials: dict[int, int] = {}  # by picture: how many were sent
        self._held = b""  # a document of the kind `completed`

    def begin(self) -> bytes:
        return b""

    def write(self, index: int, chunk: ImageChunk, /) -> bytes:
        frames = []
        if chunk.preview is not None:
            frames.append(self._partial(index, chunk.preview))
        if chunk.image is not None:
            frames.append(self._released())
            self._held = self._completed(index, chunk.image)
        return b"".join(frames)

    def end(self, receipt: bytes) -> bytes:
        if self._include_receipt:
            self._held = with_field(self._held, receipt)
        return b"".join((self._released(), b": bestiary-receipt ", receipt, b"\n\n"))

    def fail(self, error: PublicError) -> bytes:
        return self._released() + _event("error", _ERRORS.body(error))

    def _partial(self, index: int, preview: Picture) -> bytes:
        number = self._partials.get(index, 0)
        self._partials[index] = number + 1
        more: Json = {"partial_image_index": number, "image_index": index}
        return _event(self._name("partial_image"), self._document("partial_image", preview, more))

    def _completed(self, index: int, image: GeneratedImage) -> bytes:
        more: Json = {
            "usage": _usage_json([image]),
            "image_index": index,
            "model": self._drawing.decision.model,
            **_facts_json(image),
        }
        return self._document("completed", image.picture, more)

    def _released(self) -> bytes:
        held, self._held = self._held, b""
        return _event(self._name("completed"), held) if held else b""

    def _document(self, event: str, picture: Picture, more: Json) -> bytes:
        return orjson.dumps(
            {
                "type": self._name(event),
                "created_at": int(time.time()),
                "quality": "auto",
                **_look_json(picture, self._facts),
                **more,
                **inline(picture),
            }
        )

    def _name(self, event: str) -> str:
        return f"{self._kind}.{event}"


def _event(name: str, document: bytes) -> bytes:
    return b"".join((b"event: ", name.encode(), b"\ndata: ", document, b"\n\n"))
