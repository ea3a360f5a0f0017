"""Logits made smaller for tokens that a row has seen already.

Repetition (CTRL, arXiv:1909.05858, section 4.1) looks at prompt and completion and
scales; presence and frequency (OpenAI's API) look at the completion and subtract.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bestiary.schemas.text import Sampling

_FIRST_ROOM = 256


class SeenTokens:
    """Which tokens a row has seen, and how often it generated each."""

    def __init__(self, prompt: NDArray[np.int64]) -> None:
        known = np.unique(prompt)
        self._size = len(known)
        room = max(_FIRST_ROOM, 2 * self._size)
        self._tokens = np.zeros(room, np.int64)
        self._tokens[: self._size] = known
        self._counts = np.zeros(room, np.float32)
        self._places = {int(token): place for place, token in enumerate(known)}

    def generated(self, token: int) -> None:
        place = self._places.get(token)
        if place is None:
            place = self._places[token] = self._new_place(token)
        self._counts[place] += 1

    @property
    def tokens(self) -> NDArray[np.int64]:
        """Each seen token once."""
        return self._tokens[: self._size]

    @property
    def counts(self) -> NDArray[np.float32]:
        """How often each of `tokens` was generated; 0: it is in the prompt alone."""
        return self._counts[: self._size]

    def _new_place(self, token: int) -> int:
        if self._size == len(self._tokens):
            self._tokens = np.concatenate([self._tokens, np.zeros_like(self._tokens)])
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        self._tokens[self._size] = token
        self._size += 1
        return self._size - 1


def penalises(sampling: Sampling) -> bool:
    return (
        sampling.repetition_penalty != 1
        or sampling.presence_penalty != 0
        or sampling.frequency_penalty != 0
    )


def penalise(
    logits: NDArray[np.float32],
    rows: Sequence[int],
    samplings: Sequence[Sampling],
    seen: Sequence[SeenTokens],
) -> None:
    """Changes `logits` [B, vocabulary] in place, in the rows that `rows` names."""
    sizes = [len(one.tokens) for one in seen]
    row = np.repeat(np.asarray(rows, np.int64), sizes)
    token = np.concatenate([one.tokens for one in seen])
    count = np.concatenate([one.counts for one in seen])

    def spread(values: list[float]) -> NDArray[np.float32]:
        return np.repeat(np.asarray(values, np.float32), sizes)

    repetition = spread([one.repetition_penalty for one in samplings])
    presence = spread([one.presence_penalty for one in samplings])
    frequency = spread([one.frequency_penalty for one in samplings])
    value = logits[row, token]
    value = np.where(value > 0, value / repetition, value * repetition)
    logits[row, token] = value - presence * (count > 0) - frequency * count
