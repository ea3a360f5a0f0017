"""OpenAI's wire of images: what callers send, as JSON or as a form with files.

https://platform.openai.com/docs/api-reference/images. Extensions of ours are the fields of
`image_fields.py` and `strength`. What changes nothing here by its nature is taken and ignored;
what would change the pictures but is not there is refused, see the tables at the end.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bestiary.errors import InvalidRequest
from bestiary.schemas.image import MAX_PROMPT, ImageFormat
from services.gateway.dialects.image_fields import (
    Denoised,
    Drawn,
    File,
    Files,
    FormatName,
    ImageBody,
)

MAX_PARTIAL_IMAGES = 3
_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")


def _size(given: str) -> str:
    if given != "auto" and _SIZE.fullmatch(given) is None:
        raise ValueError("a size is WIDTHxHEIGHT in pixels, for instance 64x64, or 'auto'")
    return given


Size = Annotated[str, AfterValidator(_size)]
Prompt = Annotated[str, Field(max_length=MAX_PROMPT)]


class _Images(ImageBody, Drawn, Denoised):
    size: Size | None = None
    response_format: Literal["b64_json", "url"] | None = None
    output_format: FormatName | None = Field(None, description="png or webp")
    user: str | None = None
    safety_identifier: str | None = None

    def end_user(self) -> str | None:
        return self.user or self.safety_identifier

    def public_names(self) -> Mapping[str, str]:
        return {
            **super().public_names(),
            "size": "size",
            "width": "size",
            "height": "size",
            "previews": "partial_images",
            "format": "output_format",
        }

    def width_and_height(self) -> tuple[int, int] | None:
        """None: the model's own."""
        found = _SIZE.fullmatch(self.size or "")
        return None if found is None else (int(found.group(1)), int(found.group(2)))

    def picture_format(self) -> ImageFormat:
        return self.output_format or ImageFormat.PNG

    def as_urls(self) -> bool:
        return self.response_format == "url"


class _Streamed(_Images):
    negative_prompt: str | None = Field(None, description="extension: what to lead away from")
    stream: bool | None = None
    partial_images: Annotated[int, Field(ge=0, le=MAX_PARTIAL_IMAGES)] | None = None

    def check_streaming(self) -> None:
        """Raises InvalidRequest for what only one of the two ways has."""
        if self.stream and self.as_urls():
            raise InvalidRequest("a stream has its pictures as b64_json", "response_format")
        if self.partial_images and not self.stream:
            raise InvalidRequest("partial_images needs stream to be true", "partial_images")


class ImageGeneration(_Streamed):
    prompt: Prompt


class ImageEdit(_Streamed):
    image: Files
    prompt: Prompt | None = None
    mask: File | None = Field(None, description="transparent (or white) where it is made anew")
    strength: float | None = Field(
        None, description="extension: how much is made anew; default 1 with a mask, 0.8 without"
    )


class ImageVariation(_Images):
    image: Files
    strength: float | None = Field(None, description="extension: how far from it; default 0.5")


# Field -> the values that ask for nothing (null always does).
UNSUPPORTED_IMAGES: Mapping[str, Container[object]] = {
    "quality": ("auto", "standard"),
    "style": (),
    "background": ("auto", "opaque"),
    "moderation": ("auto", "low"),
    "output_compression": (100, "100"),
    "input_fidelity": ("low",),
    "complexity": (),
    "frame_count": (),
    "frame_duration_ms": (),
    "svg": (),
    "markup": (),
}
