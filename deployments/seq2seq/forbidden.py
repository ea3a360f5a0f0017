"""Which tokens must not come next: -inf in their place. The rules of transformers, in its order.

https://huggingface.co/docs/transformers/internal/generation_utils#logitsprocessor
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deployments.seq2seq.plan import Plan

Scores = NDArray[np.float32]  # [vocabulary], logits or log probabilities


def forbid(scores: Scores, generated: Sequence[int], plan: Plan) -> None:
    """In place. `generated` is the row so far, without the start token."""
    special = plan.special
    if plan.no_repeat_ngram_size:
        banned = _repeating((special.start, *generated), plan.no_repeat_ngram_size)
        scores[banned] = -np.inf
    if special.never:
        scores[list(special.never)] = -np.inf
    if len(generated) < plan.min_tokens:
        scores[list(special.ends)] = -np.inf
    if special.first is not None and not generated:
        _force(scores, special.first)
    if special.last is not None and len(generated) == plan.max_tokens - 1:
        _force(scores, special.last)


def _force(scores: Scores, token: int) -> None:
    scores[...] = -np.inf
    scores[token] = 0


def _repeating(row: Sequence[int], size: int) -> list[int]:
    """Tokens that would make an n-gram of `size` a second time (arXiv:1705.04304)."""
    start = len(row) + 1 - size
    if start < 0:
        return []
    tail = row[start:]
    return [row[i + size - 1] for i in range(start) if row[i : i + size - 1] == tail]
