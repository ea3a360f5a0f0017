"""How far an optimised build of an encoder may be from float32 before it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from bestiary.schemas.base import Frozen


class EncoderTolerance(Frozen):
    """Against torch in float32, on the certificate's text; cosine errors are 1 - cosine."""

    mean_cosine_error: Annotated[float, Field(ge=0, le=2)]
    max_cosine_error: Annotated[float, Field(ge=0, le=2)]
    head_shift: Annotated[
        float, Field(ge=0, le=1, description="probability that a head moves, mean over rows")
    ]


DEFAULT_ENCODER_TOLERANCES: Mapping[str, EncoderTolerance] = {
    "fp32": EncoderTolerance(mean_cosine_error=1e-6, max_cosine_error=1e-5, head_shift=1e-3),
    "fp16": EncoderTolerance(mean_cosine_error=1e-4, max_cosine_error=1e-3, head_shift=1e-2),
    "bf16mix": EncoderTolerance(mean_cosine_error=1e-4, max_cosine_error=1e-3, head_shift=1e-2),
    "int8": EncoderTolerance(mean_cosine_error=2e-3, max_cosine_error=5e-3, head_shift=5e-2),
    "w8a16": EncoderTolerance(mean_cosine_error=2e-3, max_cosine_error=5e-3, head_shift=5e-2),
    "w8row": EncoderTolerance(mean_cosine_error=5e-3, max_cosine_error=1e-2, head_shift=1e-1),
}
