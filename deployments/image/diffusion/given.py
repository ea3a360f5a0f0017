"""What a request brings in files -> pixels in the model's size. Knows no tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bestiary.errors import InvalidRequest
from bestiary.schemas.image import (
    ImageRequest,
    ImageToImageRequest,
    InpaintRequest,
    NoiseRequest,
    SuperResolutionRequest,
    TrajectoryRequest,
    VariationRequest,
)
from deployments.image.decoding import Pixels, decode_picture
from deployments.image.diffusion.served import ServedModel
from deployments.image.fitting import Mask, fitted, mask_of, on_white

MASK = "mask"
IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Given:
    """`mask` is true where a picture is to be made anew. Both in the model's size, but for a
    picture that is to be enlarged."""

    image: Pixels | None = None
    mask: Mask | None = None


def given(request: ImageRequest, model: ServedModel) -> Given:
    """Raises ImageUnreadable, ImageTooLarge and InvalidRequest."""
    opener = OPENERS.get(type(request))
    return Given() if opener is None else opener(request, model)


def _fitted(request: ImageRequest, model: ServedModel) -> Given:
    assert isinstance(
        request, ImageToImageRequest | VariationRequest | NoiseRequest | TrajectoryRequest
    )
    if request.image is None:
        return Given()
    pixels = decode_picture(request.image, model.limits, IMAGE)
    return Given(_own_size(pixels, model))


def _masked(request: ImageRequest, model: ServedModel) -> Given:
    assert isinstance(request, InpaintRequest)
    pixels = decode_picture(request.image, model.limits, IMAGE)
    masking = decode_picture(request.mask, model.limits, MASK)
    if masking.shape[:2] != pixels.shape[:2]:
        raise InvalidRequest(
            f"the mask is {_size(masking)}, the picture {_size(pixels)}: they have to be the same",
            MASK,
        )
    mask = mask_of(masking, model.facts.width, model.facts.height)
    if not mask.any():
        raise InvalidRequest("the mask marks nothing that is to be made anew", MASK)
    return Given(_own_size(pixels, model), mask)


def _small(request: ImageRequest, model: ServedModel) -> Given:
    assert isinstance(request, SuperResolutionRequest)
    pixels = decode_picture(request.image, model.limits, IMAGE)
    scale = model.enlarging.scale if model.enlarging else 1
    height, width = pixels.shape[:2]
    model.limits.check_size(width * scale, height * scale, IMAGE)
    return Given(on_white(pixels))


def _own_size(pixels: Pixels, model: ServedModel) -> Pixels:
    facts = model.facts
    return fitted(pixels, facts.width, facts.height, facts.channels)


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


OPENERS: Mapping[type[ImageRequest], Callable[[ImageRequest, ServedModel], Given]] = {
    ImageToImageRequest: _fitted,
    VariationRequest: _fitted,
    NoiseRequest: _fitted,
    TrajectoryRequest: _fitted,
    InpaintRequest: _masked,
    SuperResolutionRequest: _small,
}
