"""A request as the engine takes it: token ids that fit, every default resolved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.schemas.text import Sampling


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """Times are seconds of `time.monotonic`."""

    prompt: NDArray[np.int64]  # [prompt tokens], at least one
    sampling: Sampling
    max_tokens: int  # prompt and these fit the context
    seed: int  # 64 bits; the request's own, or a random one
    candidates: int
    arrived_s: float  # at the replica
    deadline_s: float  # the request ends with DeadlineExceeded after it
    echo: str = ""  # said before the first token
