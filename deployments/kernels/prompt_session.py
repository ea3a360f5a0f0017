"""Reads prompts into rows of a KV pool with a graph that has keys and values of its own.

Several prompts at once, whatever rows they are in; what a row holds already is copied in,
what is new is copied out. A row's result does not depend on the others, on padding, or on
where between blocks of 32 tokens a prompt was cut: tests hold it to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from deployments.kernels import decoder_names as names
from deployments.kernels.kv_pool import HostPool

# Sizes are rounded up to multiples: a new shape costs a compilation.
TOKEN_STEP = 16
PAST_STEP = 64


@dataclass(frozen=True, slots=True)
class PromptPart:
    """New tokens of one row, which holds `past` tokens before them."""

    row: int
    token_ids: NDArray[np.int64]  # [S]
    past: int


class PromptSession:
    """One thread calls it."""

    def __init__(self, session: ort.InferenceSession, pool: HostPool) -> None:
        self._session = session
        self.pool = pool
        layers = pool.shape.caches // len(names.PARTS)
        self._past_names = [names.past(n, part) for n in range(layers) for part in names.PARTS]
        self._scratch = np.zeros(0, pool.shape.dtype)  # for what rows hold; grows as needed
        self.positions = int(session.get_modelmeta().custom_metadata_map[names.POSITIONS])

    def read(self, parts: Sequence[PromptPart], *, every: bool = False) -> NDArray[np.float32]:
        """Fills the rows; logits [B, vocabulary] at each part's last token.

        With `every`, which takes one part alone: at all of its tokens [S, vocabulary].
        Raises ValueError for parts that are empty or share a row.
        """
        self._check(parts, every)
        tokens = _rounded(max(len(part.token_ids) for part in parts), TOKEN_STEP)
        ids = np.zeros((len(parts), tokens), np.int64)
        for row, part in zip(ids, parts, strict=True):
            row[: len(part.token_ids)] = part.token_ids
        feed: dict[str, NDArray[np.generic]] = {
            names.IDS: ids,
            names.PAST_LENGTHS: np.array([part.past for part in parts], np.int64),
            names.WANTED: _wanted(parts, every),
        }
        feed.update(zip(self._past_names, self._past(parts), strict=True))
        logits, new = self._session.run([names.LOGITS, names.NEW], feed)
        for index, part in enumerate(parts):
            self.pool.copy_in(part.row, part.past, new[:, index, :, : len(part.token_ids)])
        found: NDArray[np.float32] = logits
        return found

    def _past(self, parts: Sequence[PromptPart]) -> NDArray[np.generic]:
        """[caches, B, kv_heads, P, head_dim], padded with zeros.

        In memory that is used again: touching as much anew costs more than copying.
        """
        shape = self.pool.shape
        longest = min(_rounded(max(part.past for part in parts), PAST_STEP), shape.max_length)
        sizes = (shape.caches, len(parts), shape.kv_heads, longest, shape.head_dim)
        if math.prod(sizes) > len(self._scratch):
            self._scratch = np.zeros(math.prod(sizes), shape.dtype)
        past = self._scratch[: math.prod(sizes)].reshape(sizes)
        for index, part in enumerate(parts):
            self.pool.copy_to(past[:, index, :, : part.past], part.row)
            past[:, index, :, part.past :] = 0
        return past

    def _check(self, parts: Sequence[PromptPart], every: bool) -> None:
        if len({part.row for part in parts}) < len(parts):
            raise ValueError("two parts of one row")
        if every and len(parts) > 1:
            raise ValueError("every logit is given of one part alone")
        for part in parts:
            if not len(part.token_ids):
                raise ValueError(f"no tokens for row {part.row}")
            if part.past + len(part.token_ids) > self.pool.shape.max_length:
                raise ValueError(
                    f"{part.past} + {len(part.token_ids)} tokens are over "
                    f"{self.pool.shape.max_length}"
                )


def _wanted(parts: Sequence[PromptPart], every: bool) -> NDArray[np.int64]:
    """[B, K, 1]."""
    if every:
        return np.arange(len(parts[0].token_ids), dtype=np.int64)[np.newaxis, :, np.newaxis]
    return np.array([[[len(part.token_ids) - 1]] for part in parts], np.int64)


def _rounded(size: int, step: int) -> int:
    return math.ceil(size / step) * step
