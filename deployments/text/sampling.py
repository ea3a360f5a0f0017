"""Logits -> the next token of every row.

What all rows need is done over the batch in one go. Weights are made and drawn from row by
row, in place: a row stays in the cache, and new memory for a batch of them would cost more
than all the arithmetic. Knows numbers only. What a row draws depends on its own logits,
settings and draw; batch-mates change nothing (there is a test). The order of the steps is that of
transformers: biases, penalties, constraint, temperature, top-k, top-p, min-p.
Choosing changes no state but the draw: a row moves on where `chose` is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.schemas.text import Sampling
from deployments.text.biases import Bias, add_biases
from deployments.text.constraints import TokenMatcher, forbid
from deployments.text.logprobs import TokenScores, score
from deployments.text.penalties import SeenTokens, penalise, penalises
from deployments.text.randomness import Draws

# Below it exp(x / temperature) leaves float32's range and one token has all the mass.
GREEDY_BELOW = 1e-4
# In place of a token:
BROKEN = -1  # the row's logits are NaN or infinite
STUCK = -2  # the row's constraint lets nothing follow; `TokenMatcher.fault` says why

# Weights, where the best is 1: over the first of them are some dozens to hundreds of tokens of a
# language model's at temperature 1, over the second some hundreds to thousands.
LIKELY = (2.0**-9, 2.0**-13)
BLOCK = 64  # tokens whose weights are summed, or compared, together
_ID_BITS = 32
_ID_MASK = 2**_ID_BITS - 1


@dataclass(slots=True)
class RowSampler:
    """How one row chooses. What a row does not need, such as draws where it is greedy, is None."""

    sampling: Sampling
    draws: Draws | None
    seen: SeenTokens | None
    bias: Bias | None = None
    matcher: TokenMatcher | None = None
    top: int | None = None  # how many likeliest tokens to score beside the chosen; None: no scores
    scores: TokenScores | None = None  # of the token that was chosen last, where `top` is given

    @classmethod
    def begin(
        cls,
        sampling: Sampling,
        seed: int,
        candidate: int,
        prompt: NDArray[np.int64],
        *,
        matcher: TokenMatcher | None = None,
        scored: bool = False,
    ) -> RowSampler:
        """`scored`: keep the chosen token's logprob, even if the caller wants none."""
        greedy = is_greedy(sampling)
        top = sampling.logprobs
        return cls(
            sampling=sampling,
            draws=None if greedy else Draws(seed, candidate),
            seen=SeenTokens(prompt) if penalises(sampling) else None,
            bias=Bias.of(sampling),
            matcher=matcher,
            top=0 if top is None and scored else top,
        )

    def chose(self, token: int) -> None:
        if self.seen is not None:
            self.seen.generated(token)
        if self.matcher is not None:
            self.matcher.accept(token)


def is_greedy(sampling: Sampling) -> bool:
    return sampling.temperature < GREEDY_BELOW


def choose(logits: NDArray[np.float32], rows: Sequence[RowSampler]) -> list[int]:
    """The next token of each row, or BROKEN or STUCK. `logits` [B, vocabulary] is written over.

    Leaves the chosen tokens' scores on the rows that want them.
    """
    scored = [i for i, row in enumerate(rows) if row.top is not None]
    raw = logits[scored] if scored else None
    _add_biases(logits, rows)
    _penalise(logits, rows)
    broken, stuck = _forbid(logits, rows)
    best = logits.argmax(axis=1)
    # argmax stops at the first NaN, so the best logit is finite only if the row is sound.
    top = logits[np.arange(len(rows)), best]
    tokens: list[int] = np.where(np.isfinite(top), best, BROKEN).tolist()
    for i in stuck:
        tokens[i] = STUCK
    for i in broken:
        tokens[i] = BROKEN
    for i, row in enumerate(rows):
        if row.draws is not None and tokens[i] >= 0:
            _weigh(logits[i], top[i], row.sampling.temperature)
            tokens[i] = _draw(logits[i], row.sampling, row.draws.next())
    if raw is not None:
        _score(raw, scored, tokens, rows)
    return tokens


def _add_biases(logits: NDArray[np.float32], rows: Sequence[RowSampler]) -> None:
    found = [(i, row.bias) for i, row in enumerate(rows) if row.bias is not None]
    if found:
        add_biases(logits, *zip(*found, strict=True))


def _forbid(logits: NDArray[np.float32], rows: Sequence[RowSampler]) -> tuple[list[int], list[int]]:
    """The constrained rows that are BROKEN, and those that are STUCK."""
    found = [(i, row.matcher) for i, row in enumerate(rows) if row.matcher is not None]
    if not found:
        return [], []
    indices, matchers = zip(*found, strict=True)
    # Looked at before masks hide what is not a number.
    broken = [i for i in indices if not np.isfinite(logits[i].max())]
    return broken, forbid(logits, indices, matchers)


def _score(
    raw: NDArray[np.float32],
    scored: Sequence[int],
    tokens: Sequence[int],
    rows: Sequence[RowSampler],
) -> None:
    """`raw` holds the logits of the `scored` rows as the model gave them."""
    sound = [place for place, i in enumerate(scored) if tokens[i] >= 0]
    of_sound = [scored[place] for place in sound]
    found = score(raw[sound], [tokens[i] for i in of_sound], [rows[i].top or 0 for i in of_sound])
    for i, scores in zip(of_sound, found, strict=True):
        rows[i].scores = scores


def _penalise(logits: NDArray[np.float32], rows: Sequence[RowSampler]) -> None:
    found = [(i, row.sampling, row.seen) for i, row in enumerate(rows) if row.seen is not None]
    if found:
        indices, samplings, seen = zip(*found, strict=True)
        penalise(logits, indices, samplings, seen)


def _weigh(logits: NDArray[np.float32], best: np.float32, temperature: float) -> None:
    """Makes a row exp((logit - best) / temperature): probabilities but for their sum.

    The best weighs 1.
    """
    logits -= best
    if temperature != 1:
        logits /= np.float32(temperature)
    np.exp(logits, out=logits)


def _draw(weights: NDArray[np.float32], sampling: Sampling, point: float) -> int:
    """One token of one row, by the inverse of the cumulated weights at `point`, 0 to 1."""
    if sampling.top_k:
        ids, kept = _first_k(weights, sampling.top_k)
        kept = kept[: _nucleus(kept, sampling.top_p, float(kept.sum(dtype=np.float64)))]
        return int(ids[_invert(_over_share(kept, sampling.min_p), point)])
    if sampling.top_p < 1:
        ids, kept = _first_mass(weights, sampling.top_p)
        return int(ids[_invert(_over_share(kept, sampling.min_p), point)])
    if sampling.min_p:
        ids = np.flatnonzero(weights >= np.float32(sampling.min_p))
        return int(ids[_invert(weights[ids], point)])
    return _invert_in_blocks(weights, _block_sums(weights), point)


def _block_sums(weights: NDArray[np.float32]) -> NDArray[np.float64]:
    sums: NDArray[np.float32] = np.add.reduceat(weights, np.arange(0, len(weights), BLOCK))
    return sums.astype(np.float64)


def _first_mass(
    weights: NDArray[np.float32], top_p: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Ids and weights of the tokens that reach `top_p` of the mass, the likeliest first."""
    whole = float(_block_sums(weights).sum())
    # Tokens under the last bound have less than 1 - top_p of the mass together, so none of them
    # is in the nucleus. Mostly a few hundred over a higher one reach it already.
    for bound in LIKELY:
        ids = np.flatnonzero(weights >= np.float32(bound))
        if weights[ids].sum(dtype=np.float64) < top_p * whole:
            continue  # not worth a sort
        ids, kept = _sorted(ids, weights[ids])
        count = _nucleus(kept, top_p, whole)
        if count <= len(kept):
            return ids[:count], kept[:count]
    ids, kept = _over(weights, (1 - top_p) * whole / len(weights))
    count = _nucleus(kept, top_p, whole)
    return ids[:count], kept[:count]


def _nucleus(weights: NDArray[np.float32], top_p: float, whole: float) -> int:
    """Top-p (arXiv:1904.09751): how many of the sorted weights reach `top_p` of `whole`.

    One more than there are where they do not.
    """
    if top_p == 1:
        return len(weights)
    cumulated = np.cumsum(weights, dtype=np.float64)
    return int(np.searchsorted(cumulated, top_p * whole)) + 1


def _over_share(weights: NDArray[np.float32], min_p: float) -> NDArray[np.float32]:
    """Min-p (arXiv:2407.01082): of sorted weights those of at least this share of the best's."""
    return weights[: int((weights >= np.float32(min_p)).sum())] if min_p else weights


def _invert(weights: NDArray[np.float32], point: float) -> int:
    """The first index whose cumulated weight is over `point` of the whole."""
    cumulated = np.cumsum(weights, dtype=np.float64)
    index = int(np.searchsorted(cumulated, point * cumulated[-1], side="right"))
    return min(index, len(weights) - 1)


def _invert_in_blocks(weights: NDArray[np.float32], sums: NDArray[np.float64], point: float) -> int:
    """`_invert` in two steps, block and token, so that most weights are never cumulated."""
    cumulated = np.cumsum(sums)
    goal = point * cumulated[-1]
    block = min(int(np.searchsorted(cumulated, goal, side="right")), len(sums) - 1)
    inside = np.cumsum(weights[block * BLOCK : (block + 1) * BLOCK], dtype=np.float64)
    rest = goal - (cumulated[block] - sums[block])
    index = int(np.searchsorted(inside, rest, side="right"))
    if index == len(inside):  # the block's float32 sum was rounded up
        index = int(np.searchsorted(inside, inside[-1]))
    return block * BLOCK + index


def _first_k(
    weights: NDArray[np.float32], top_k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Ids and weights of the `top_k` likeliest tokens, the likeliest first."""
    ids, kept = _over(weights, LIKELY[0])
    if len(ids) >= top_k:
        return ids[:top_k], kept[:top_k]
    peaks = np.maximum.reduceat(weights, np.arange(0, len(weights), BLOCK))
    # k blocks have a token of at least this weight, so the k-th token is no lighter.
    bound = np.partition(peaks, -top_k)[-top_k] if top_k <= len(peaks) else 0.0
    ids, kept = _over(weights, float(bound))
    return ids[:top_k], kept[:top_k]


def _over(
    weights: NDArray[np.float32], bound: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The tokens of at least this weight, the likeliest first."""
    ids = np.flatnonzero(weights >= np.float32(bound))
    return _sorted(ids, weights[ids])


def _sorted(
    ids: NDArray[np.int64], weights: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """By falling weight, equal weights by rising id.

    Positive floats are ordered as their bits are, so one integer holds both keys:
    no ties are left and the fast unstable sort gives one answer.
    """
    bits = weights.view(np.uint32).astype(np.uint64) << np.uint64(_ID_BITS)
    keys = bits | (np.uint64(_ID_MASK) - ids.astype(np.uint64))
    keys = np.sort(keys)[::-1]
    ordered = (np.uint64(_ID_MASK) - (keys & np.uint64(_ID_MASK))).astype(np.int64)
    return ordered, (keys >> np.uint64(_ID_BITS)).astype(np.uint32).view(np.float32)
