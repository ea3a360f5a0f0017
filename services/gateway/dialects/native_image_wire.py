"""The native wire of images: what callers send, as JSON or as a form with files.

docs/api/images.md describes it. Strict models; what is done with them is in
`native_image_tasks.py`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from bestiary.errors import InvalidRequest
from bestiary.schemas.image import MAX_IMAGES, ImageFormat, Latents
from services.gateway.dialects.image_fields import (
    Denoised,
    Drawn,
    File,
    Files,
    FormatName,
    ImageBody,
    Prompted,
    several,
)

FLOAT32 = np.dtype("<f4")
Pair = Annotated[list[int], BeforeValidator(several), Field(min_length=2, max_length=2)]
LatentTerm = Annotated[list[int | float], Field(min_length=2, max_length=2)]
LatentTerms = Annotated[list[LatentTerm], Field(max_length=16)]


class Pictured(ImageBody):
    """How the pictures of an answer come."""

    format: FormatName | None = Field(None, description="of pictures in the answer; default png")
    response_format: Literal["b64_json", "url"] | None = Field(
        None, description="the bytes, or a URL that opens for a while; default b64_json"
    )

    def picture_format(self) -> ImageFormat:
        return self.format or ImageFormat.PNG

    def as_urls(self) -> bool:
        return self.response_format == "url"


class Generate(Pictured, Drawn):
    """What all requests that make pictures have."""

    previews: int | None = Field(
        None, description="unfinished pictures of each on the way; with stream"
    )
    stream: bool | None = None


class Sample(Generate, Denoised):
    label: str | None = Field(None, description="a class of the model's")
    width: int | None = None
    height: int | None = None
    truncation: float | None = Field(None, description="GAN, VAE: bound of the latent's normal")
    latent_terms: LatentTerms | None = Field(
        None, description="GAN: [seed, weight] pairs whose latents are added up"
    )
    temperature: float | None = Field(None, description="autoregressive, VAE")
    top_k: int | None = Field(None, description="autoregressive; 0: all")


class TextToImage(Generate, Denoised, Prompted):
    prompt: str
    width: int | None = None
    height: int | None = None


class ImageToImage(Generate, Denoised, Prompted):
    image: File
    strength: float | None = Field(None, description="how much is made anew; default 0.8")


class Inpaint(Generate, Denoised, Prompted):
    image: File
    mask: File = Field(description="white, or transparent, where the picture is made anew")
    strength: float | None = Field(None, description="default 1")


class SuperResolve(Generate, Denoised, Prompted):
    image: File


class Vary(Generate, Denoised):
    image: File
    strength: float | None = Field(None, description="default 0.5")


class Complete(Generate):
    image: File
    keep: float | None = Field(None, description="share of the rows, from the top; default 0.5")
    temperature: float | None = None
    top_k: int | None = None


class Encode(ImageBody):
    images: Files
    seed: int | None = Field(None, description="draw a latent; null: the distribution's mean")
    encoding_format: Literal["float", "base64"] | None = None

    def public_names(self) -> Mapping[str, str]:
        return _names_of_pictures(super().public_names())


class Decode(Pictured):
    """`latents` are nested lists, or base64 of little-endian float32, each of `shape`."""

    latents: Annotated[list[object], Field(min_length=1, max_length=MAX_IMAGES)]
    shape: list[Annotated[int, Field(ge=1)]] | None = Field(
        None, description="of one latent; needed with base64"
    )
    label: str | None = None

    def stacked(self) -> Latents:
        """Raises InvalidRequest that names the faulty one."""
        rows = [self._row(index, given) for index, given in enumerate(self.latents)]
        if len({row.shape for row in rows}) > 1:
            raise InvalidRequest("all latents must have the same shape", "latents")
        stacked = np.stack(rows)
        return Latents(shape=stacked.shape, data=stacked.tobytes())

    def _row(self, index: int, given: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        param = f"latents[{index}]"
        if isinstance(given, str) and self.shape is None:
            raise InvalidRequest("latents in base64 need shape", "shape")
        try:
            if isinstance(given, str):
                numbers = np.frombuffer(base64.b64decode(given, validate=True), FLOAT32)
            else:
                numbers = np.asarray(given, dtype=FLOAT32)
            numbers = numbers if self.shape is None else numbers.reshape(self.shape)
            return np.atleast_1d(numbers)
        except (ValueError, TypeError, OverflowError, binascii.Error):
            raise InvalidRequest(
                f"{param} must be nested lists of numbers, or base64 of little-endian float32 "
                f"of the shape that is given",
                param,
            ) from None


class Reconstruct(Pictured):
    images: Files

    def public_names(self) -> Mapping[str, str]:
        return _names_of_pictures(super().public_names())


class Interpolate(Pictured):
    """Two `images` (VAE) or two `seeds` (GAN)."""

    images: Annotated[Files, Field(min_length=2, max_length=2)] | None = None
    seeds: Pair | None = None
    label: str | None = None
    frames: int | None = Field(None, description="both ends included; default 8")

    def public_names(self) -> Mapping[str, str]:
        return _names_of_pictures(super().public_names())


class Discriminate(ImageBody):
    images: Files
    label: str | None = None

    def public_names(self) -> Mapping[str, str]:
        return _names_of_pictures(super().public_names())


class Likelihood(Discriminate):
    pass


class Noise(Pictured):
    image: File
    timesteps: Annotated[list[int], BeforeValidator(several)]
    seed: int | None = None


class Trajectory(Pictured, Denoised, Prompted):
    frames: int | None = Field(None, description="the noise and the end included; default 8")
    label: str | None = None
    image: File | None = Field(None, description="start from it, noised by strength")
    strength: float | None = None
    seed: int | None = None


def _names_of_pictures(names: Mapping[str, str]) -> Mapping[str, str]:
    """Here `images` are pictures that are given, not how many are made."""
    return {ours: theirs for ours, theirs in names.items() if ours != "images"}
