"""Fields that both dialects of images have: pictures, and how they are made. Flat, as callers say.

Our schemas nest what belongs together (`denoising.steps`); a form cannot, so no wire does.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bestiary.errors import InvalidRequest
from bestiary.schemas.image import (
    MAX_CANDIDATES,
    MAX_IMAGE_BYTES,
    MAX_IMAGES,
    Denoising,
    EncodedImage,
    ImageFormat,
    Sampler,
    TextPrompt,
)

# Our schemas' fields -> the callers', where they always differ. A replica may name a nested field
# with or without what it is nested in.
_FLAT = {
    "images": "n",
    "text": "prompt",
    "negative": "negative_prompt",
    "prompt.text": "prompt",
    "prompt.negative": "negative_prompt",
    **{f"denoising.{name}": name for name in Denoising.model_fields},
}


def _file_of(given: object) -> object:
    """The bytes of a file that came in a form, as base64, or as a data URL."""
    if isinstance(given, str):
        given = _decoded(given)
    if not isinstance(given, bytes):
        raise ValueError("send a PNG, JPEG or WebP file as base64 or as a data URL")  # noqa: TRY004
    if not given:
        raise ValueError("the file is empty")
    if len(given) > MAX_IMAGE_BYTES:
        raise ValueError(f"the file has {len(given)} bytes; at most {MAX_IMAGE_BYTES} are taken")
    return given


def _decoded(given: str) -> bytes:
    if given.startswith(("http://", "https://")):
        raise ValueError("pictures are not fetched: send the file itself, or its base64")
    content = given
    if given.startswith("data:"):
        head, _, content = given.partition(",")
        if not head.endswith(";base64"):
            raise ValueError("a data URL of a picture must be in base64")
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is not valid base64") from None


def _one_of(names: type[StrEnum]) -> Callable[[object], object]:
    """A name from the wire is a string; strict models want the value that it names."""

    def named(given: object) -> object:
        known = [one.value for one in names]
        if given not in known:
            raise ValueError(f"it must be one of {', '.join(known)}")
        return names(given)

    return named


def several(given: object) -> object:
    """One alone is a list of one: a form cannot tell them apart."""
    return given if isinstance(given, list) or given is None else [given]


File = Annotated[bytes, BeforeValidator(_file_of)]
Files = Annotated[list[File], BeforeValidator(several), Field(min_length=1, max_length=MAX_IMAGES)]
SamplerName = Annotated[Sampler, BeforeValidator(_one_of(Sampler))]
FormatName = Annotated[ImageFormat, BeforeValidator(_one_of(ImageFormat))]


class ImageBody(BaseModel):
    """What every request about pictures has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="a card, deployment or alias; null or `auto`: the first that can do the task",
    )

    def public_names(self) -> Mapping[str, str]:
        """Fields of the replica's request -> the caller's, where they differ."""
        said = (name for name in Denoising.model_fields if getattr(self, name, None) is not None)
        # A replica that does not denoise at all, or has one size, names no single field.
        return {**_FLAT, "task": "model", "size": "width", "denoising": next(said, "steps")}


class Drawn(BaseModel):
    """How many pictures are made and what they begin from; null: the model's own way.

    The bounds that are not here are those of `bestiary.schemas.image`.
    """

    n: Annotated[int, Field(ge=1, le=MAX_IMAGES)] | None = Field(None, description="pictures")
    seed: int | None = Field(None, description="picture i has the seed + i; null: drawn, and told")
    best_of: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] | None = Field(
        None, description="candidates per picture, of which the model's scorer keeps the best"
    )


class Denoised(BaseModel):
    """How a diffusion model goes from noise to a picture."""

    steps: int | None = None
    sampler: SamplerName | None = None
    eta: float | None = Field(None, description="ddim, tcd: share of fresh noise per step")
    guidance_scale: float | None = Field(None, description="1: no guidance, at half the cost")
    guidance_share: float | None = Field(None, description="share of the steps that are guided")
    guidance_every: int | None = Field(
        None, description="the unguided prediction is made anew every so many steps"
    )
    cache_threshold: float | None = Field(
        None, description="use a step's prediction again while the latent moved by less; 0: never"
    )

    def denoising(self) -> Denoising:
        said = self.model_dump(include=set(Denoising.model_fields), exclude_none=True)
        return Denoising(**said)


class Prompted(BaseModel):
    """`(word:1.3)` weighs a part of it."""

    prompt: str | None = None
    negative_prompt: str | None = Field(None, description="what to lead away from; needs guidance")

    def prompt_given(self) -> TextPrompt | None:
        """Raises InvalidRequest for a negative prompt alone."""
        if self.prompt is None and self.negative_prompt is not None:
            raise InvalidRequest("negative_prompt needs prompt", "negative_prompt")
        if self.prompt is None:
            return None
        return TextPrompt(text=self.prompt, negative=self.negative_prompt or "")


def encoded(file: bytes) -> EncodedImage:
    return EncodedImage(data=file)


def every_encoded(files: list[bytes]) -> tuple[EncodedImage, ...]:
    return tuple(EncodedImage(data=file) for file in files)
