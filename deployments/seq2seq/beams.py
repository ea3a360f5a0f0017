"""Beam search over one input's outputs, token for token what transformers' `generate` finds.

Scores are kept in float32 and large penalties stand for "not any more", because that is how
the model libraries do it: another arithmetic would break ties otherwise.
https://huggingface.co/docs/transformers/generation_strategies#beam-search
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import EngineFailure
from deployments.seq2seq.forbidden import forbid
from deployments.seq2seq.plan import Plan
from deployments.seq2seq.search import Found, Logits, Moved, Weights, reason

OUT = np.float32(-1e9)  # added to the score of what must not be chosen
BLOCK = 64  # scores that are looked at together when the best ones are searched

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Looked:
    """Attention of a beam's last token and, before it, of the beam that it came from."""

    before: _Looked | None
    weights: NDArray[np.float32]  # [source]


@dataclass(frozen=True, slots=True)
class _Beam:
    tokens: tuple[int, ...]
    looked: _Looked | None


class BeamSearch:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        width = plan.num_beams
        self._running = [_Beam((), None)] * width
        # Only the first beam counts at first, or all would be the same one.
        self._scores = np.full(width, OUT, np.float32)
        self._scores[0] = 0
        self._done: list[_Beam] = [_Beam((), None)] * width
        self._done_scores = np.full(width, OUT, np.float32)
        self._is_done = np.zeros(width, bool)
        self._can_improve = True

    @property
    def next_tokens(self) -> list[int]:
        start = self._plan.special.start
        return [beam.tokens[-1] if beam.tokens else start for beam in self._running]

    def step(self, logits: Logits, attention: Weights | None) -> Moved:
        plan, width = self._plan, self._plan.num_beams
        scores = _log_softmax(logits)
        for row, beam in zip(scores, self._running, strict=True):
            forbid(row, beam.tokens, plan)
        scores += self._scores[:, np.newaxis]
        # So many that, whatever ends, `width` of them can go on.
        wanted = max(2, 1 + len(plan.special.ends)) * width
        origins, tokens, best = _best(scores, wanted)
        candidates = [
            _Beam((*self._running[origin].tokens, token), self._look(origin, attention))
            for origin, token in zip(origins, tokens, strict=True)
        ]
        length = len(candidates[0].tokens)
        ends = np.isin(tokens, plan.special.ends) | (length >= plan.max_tokens)
        self._finish(candidates, best, ends, length)
        going = _order(best + np.where(ends, OUT, np.float32(0)))[:width]
        self._running = [candidates[i] for i in going]
        self._scores = (best + np.where(ends, OUT, np.float32(0)))[going]
        self._look_ahead(length)
        if self._is_over(ends):
            return Moved(None, None, self._found())
        return Moved([origins[i] for i in going], None, None)

    def _look(self, origin: int, attention: Weights | None) -> _Looked | None:
        if attention is None:
            return None
        return _Looked(self._running[origin].looked, attention[origin].copy())

    def _finish(
        self, candidates: list[_Beam], best: Scores, ends: NDArray[np.bool_], length: int
    ) -> None:
        """Keeps the best `width` of what was finished before and what ends now."""
        plan, width = self._plan, self._plan.num_beams
        now = ends & (np.arange(len(candidates)) < width)
        scores = best / np.float32(length**plan.length_penalty)
        if self._is_done.all() and plan.early_stopping is True:
            scores = scores + OUT
        if not self._can_improve:
            scores = scores + OUT
        scores = scores + np.where(now, np.float32(0), OUT)
        merged = np.concatenate([self._done_scores, scores])
        kept = _order(merged)[:width]
        beams = [*self._done, *candidates]
        self._done = [beams[i] for i in kept]
        self._done_scores = merged[kept]
        self._is_done = np.concatenate([self._is_done, now])[kept]

    def _look_ahead(self, length: int) -> None:
        """Whether the best running beam could still be better than the worst finished one."""
        plan = self._plan
        never = plan.early_stopping == "never" and plan.length_penalty > 0
        reached = plan.max_tokens if never else length
        possible = self._scores[0] / np.float32(reached**plan.length_penalty)
        worst = np.where(self._is_done, self._done_scores.min(), OUT)
        self._can_improve = self._can_improve and bool((possible > worst).any())

    def _is_over(self, ends: NDArray[np.bool_]) -> bool:
        full = self._is_done.all() and self._plan.early_stopping is True
        return bool(ends.all()) or bool(full) or not self._can_improve

    def _found(self) -> Found:
        best = self._done[0]
        weights: list[NDArray[np.float32]] = []
        looked = best.looked
        while looked is not None:
            weights.append(looked.weights)
            looked = looked.before
        attention = np.stack(weights[::-1]) if weights else None
        return Found(best.tokens, reason(best.tokens, self._plan.special.ends), attention)


def _log_softmax(logits: Logits) -> Scores:
    best = logits.max(axis=1, keepdims=True)
    if not np.isfinite(best).all():
        raise EngineFailure("the model gave no usable scores")
    shifted: Scores = logits - best
    sums = np.exp(shifted).sum(axis=1, keepdims=True)
    shifted -= np.log(sums)
    return shifted


def _best(scores: Scores, wanted: int) -> tuple[list[int], list[int], Scores]:
    """Beams, tokens and scores of the best `wanted` continuations, the best first."""
    flat = scores.reshape(-1)
    ids = np.arange(len(flat))
    if len(flat) > 2 * BLOCK * wanted:
        # That many blocks have a score of at least this one, so the last wanted is no worse.
        peaks = np.maximum.reduceat(flat, np.arange(0, len(flat), BLOCK))
        ids = np.flatnonzero(flat >= np.partition(peaks, -wanted)[-wanted])
    ids = ids[_order(flat[ids])][:wanted]
    beams, tokens = np.divmod(ids, scores.shape[1])
    return beams.tolist(), tokens.tolist(), flat[ids]


def _order(scores: Scores) -> NDArray[np.int64]:
    """Positions by falling score, equal ones as they are."""
    return np.argsort(-scores, kind="stable")
