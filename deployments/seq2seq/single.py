"""The search that follows one row: greedy, or sampling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import EngineFailure
from deployments.seq2seq.drawing import draw, uniform
from deployments.seq2seq.forbidden import forbid
from deployments.seq2seq.plan import Plan
from deployments.seq2seq.search import Found, Logits, Moved, Weights, reason


class SingleRow:
    """`index` is the input's place in its request: it and the seed give the random numbers."""

    def __init__(self, plan: Plan, index: int) -> None:
        self._plan = plan
        self._index = index
        self._tokens: list[int] = []
        self._looked: list[NDArray[np.float32]] = []

    @property
    def next_tokens(self) -> list[int]:
        return [self._tokens[-1] if self._tokens else self._plan.special.start]

    def step(self, logits: Logits, attention: Weights | None) -> Moved:
        scores = logits[0]
        forbid(scores, self._tokens, self._plan)
        token = self._choose(scores)
        self._tokens.append(token)
        if attention is not None:
            self._looked.append(attention[0].copy())
        ended = token in self._plan.special.ends
        if ended or len(self._tokens) == self._plan.max_tokens:
            return Moved(None, token, self._found())
        return Moved(None, token, None)

    def _choose(self, scores: NDArray[np.float32]) -> int:
        plan, best = self._plan, int(scores.argmax())
        # argmax stops at the first NaN, so the best score is finite only if the row is sound.
        if not np.isfinite(scores[best]):
            raise EngineFailure("the model gave no usable scores")
        if not plan.samples:
            return best
        point = uniform(plan.seed, self._index, len(self._tokens))
        return draw(scores, plan.temperature, plan.top_k, plan.top_p, point)

    def _found(self) -> Found:
        tokens = tuple(self._tokens)
        looked = np.stack(self._looked) if self._looked else None
        return Found(tokens, reason(tokens, self._plan.special.ends), looked)
