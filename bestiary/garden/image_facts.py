"""What a card says of an image model beside what every card says."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from bestiary.schemas.base import Frozen
from bestiary.schemas.image import MAX_SIDE, MAX_STEPS, ImageFamily, Sampler

Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]


class DenoisingDefaults(Frozen):
    """What a diffusion model does where a request does not say."""

    steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] = 25
    sampler: Sampler = Sampler.DPM_SOLVER
    guidance_scale: Annotated[float, Field(ge=0, le=100)] = 1.0
    guidance_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    guidance_every: Annotated[int, Field(ge=1, le=16)] = 1


class ImageFacts(Frozen):
    """`width` and `height` are those of pictures that the model makes, in pixels.

    A diffusion model that is `resizable` makes others too, in multiples of `size_step`; all other
    models have one size, to which pictures that are given are fitted. `latent_shape` without the
    batch axis: [channels, height, width] of a VAE, [width] of a GAN.
    """

    family: ImageFamily
    width: Side
    height: Side
    channels: Annotated[int, Field(ge=1, le=4)] = 3  # of pixels: 1 grey, 3 colour
    resizable: bool = False
    size_step: Annotated[int, Field(ge=1)] = 8
    latent_shape: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()  # labels, in the order of the model's class numbers
    scale: Annotated[int, Field(ge=2, le=16)] | None = None  # super-resolution
    text_encoder: str | None = None  # an encoder's card whose token states are the prompt
    denoising: DenoisingDefaults = DenoisingDefaults()  # diffusion
    data: str = ""  # what it was trained on, with licence and attribution of that
    figures: dict[str, float] = {}  # held-out, as zoo/<name>/figures.json has them

    @model_validator(mode="after")
    def _distinct_classes(self) -> ImageFacts:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("two classes have the same label")
        return self
