"""A native body about pictures -> the replica's request, whichever of them. Knows no routes.

Fields that both have by the same name are handed over where they were said; what was not said is
the schema's default, or the model's own.
"""

from __future__ import annotations

from typing import TypedDict, TypeVar

from bestiary.schemas.image import ImageRequest
from services.gateway.dialects.image_fields import (
    Denoised,
    Drawn,
    ImageBody,
    Prompted,
    encoded,
    every_encoded,
)
from services.gateway.dialects.native_image_wire import Decode

K = TypeVar("K", bound=ImageRequest)
_NOT_AS_SAID = frozenset({"image", "mask", "images", "prompt", "latents"})


class ImageShared(TypedDict):
    """What every request has, whatever it asks."""

    request_id: str
    deadline_s: float | None


def request_of(kind: type[K], body: ImageBody, shared: ImageShared) -> K:
    """Raises pydantic's ValidationError in our schema's names, and InvalidRequest."""
    common = set(kind.model_fields) & set(type(body).model_fields) - _NOT_AS_SAID
    given: dict[str, object] = {
        **shared,
        **body.model_dump(include=common, exclude_none=True),
        **_pictures(body),
    }
    if isinstance(body, Drawn) and body.n is not None:
        given["images"] = body.n
    if isinstance(body, Denoised):
        given["denoising"] = body.denoising()
    if isinstance(body, Prompted) and (prompt := body.prompt_given()) is not None:
        given["prompt"] = prompt
    if isinstance(body, Decode):
        given["latents"] = body.stacked()
    return kind.model_validate(given)


def _pictures(body: ImageBody) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in ("image", "mask"):
        if (file := getattr(body, name, None)) is not None:
            found[name] = encoded(file)
    if (files := getattr(body, "images", None)) is not None:
        found["images"] = every_encoded(files)
    return found
