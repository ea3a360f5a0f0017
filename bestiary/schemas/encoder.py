"""The encoder family: texts in, vectors out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bestiary.schemas.base import Frozen
from bestiary.schemas.text import EngineTimings

MAX_INPUTS = 2048


class EmbeddingRequest(Frozen):
    """Each input is a text, or token ids of the model's own tokenizer."""

    request_id: str
    inputs: Annotated[tuple[str | tuple[int, ...], ...], Field(min_length=1, max_length=MAX_INPUTS)]
    dimensions: Annotated[int, Field(ge=1)] | None = None  # the first ones, normalised again
    truncate: bool = False  # False: an input over the limit is a ContextOverflow
    deadline_s: Annotated[float, Field(gt=0)] | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingResult:
    """`vectors` is float32 [inputs, dimensions], each row of unit length."""

    vectors: NDArray[np.float32]
    prompt_tokens: tuple[int, ...]  # per input
    truncated: tuple[bool, ...]  # per input
    timings: EngineTimings
