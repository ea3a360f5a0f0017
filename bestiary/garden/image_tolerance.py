"""How far an optimised build of an image model may be from float32 before it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from bestiary.schemas.base import Frozen


class ImageTolerance(Frozen):
    """Against torch in float32, on the certificate's inputs, which are stated in it.

    Errors of a module are relative to the spread (standard deviation) of the reference's output,
    so that one bound fits noise predictions, latents and pictures.
    """

    max_error: Annotated[float, Field(ge=0, description="largest error of one value")]
    mean_error: Annotated[float, Field(ge=0, description="mean absolute error")]
    pipeline_psnr: Annotated[
        float,
        Field(ge=0, description="dB of whole pictures at fixed seeds against torch's, at least"),
    ]


DEFAULT_IMAGE_TOLERANCES: Mapping[str, ImageTolerance] = {
    "fp32": ImageTolerance(max_error=1e-3, mean_error=1e-4, pipeline_psnr=50),
    "bf16mix": ImageTolerance(max_error=3e-1, mean_error=3e-2, pipeline_psnr=35),
    "fp16": ImageTolerance(max_error=5e-2, mean_error=5e-3, pipeline_psnr=35),
    "int8": ImageTolerance(max_error=5e-1, mean_error=5e-2, pipeline_psnr=25),
}
