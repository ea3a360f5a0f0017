"""What a caller adds to the logits of single tokens (OpenAI's `logit_bias`).

https://platform.openai.com/docs/api-reference/chat/create: -100 and 100 amount to a ban
and to an exclusive choice, values between them make a token less or more likely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.schemas.text import Sampling


@dataclass(frozen=True, slots=True)
class Bias:
    """One row's; each token once."""

    tokens: NDArray[np.int64]  # [tokens]
    values: NDArray[np.float32]  # [tokens]

    @classmethod
    def of(cls, sampling: Sampling) -> Bias | None:
        if not sampling.logit_bias:
            return None
        tokens, values = zip(*sampling.logit_bias.items(), strict=True)
        return cls(np.array(tokens, np.int64), np.array(values, np.float32))


def add_biases(logits: NDArray[np.float32], rows: Sequence[int], biases: Sequence[Bias]) -> None:
    """Changes `logits` [B, vocabulary] in place, in the rows that `rows` names."""
    row = np.repeat(np.asarray(rows, np.int64), [len(one.tokens) for one in biases])
    token = np.concatenate([one.tokens for one in biases])
    logits[row, token] += np.concatenate([one.values for one in biases])
