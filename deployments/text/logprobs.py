"""How likely the model found a token, and which ones it found likeliest.

Of the model's own distribution: the softmax of its logits before biases, penalties,
constraints, temperature and every truncation. That is what OpenAI documents
(https://platform.openai.com/docs/api-reference/chat/create, `logprobs`), and it makes
answers comparable whatever they were sampled with. Natural logarithms.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bestiary.schemas.text import ScoredToken, TokenLogprob
from deployments.text.spelling import Spelling

BLOCK = 64  # tokens whose logits are compared together
ROWS_TOGETHER = 16  # positions of a prompt: their copies stay within a few megabytes


class Spells(Protocol):
    """What logprobs ask of a tokenizer."""

    def spell(self, token: int) -> Spelling: ...


@dataclass(frozen=True, slots=True)
class TokenScores:
    """One position of one row."""

    token: int
    logprob: float
    top_ids: NDArray[np.int64]  # [top], the likeliest first
    top_logprobs: NDArray[np.float64]  # [top]


def score(
    logits: NDArray[np.float32], tokens: Sequence[int], tops: Sequence[int]
) -> list[TokenScores]:
    """Of each row of `logits` [B, vocabulary]: its token, and as many of the likeliest as asked."""
    normalisers = _log_normalisers(logits)
    found: list[TokenScores] = []
    for row, token, top, normaliser in zip(logits, tokens, tops, normalisers, strict=True):
        ids, likeliest = _likeliest(row, top)
        logprob = float(row[token]) - float(normaliser)
        found.append(TokenScores(token, logprob, ids, likeliest - normaliser))
    return found


def token_logprob(scores: TokenScores, characters: int, spells: Spells) -> TokenLogprob:
    """`characters` that the token adds to the text."""
    return TokenLogprob(
        token=_scored(scores.token, scores.logprob, spells),
        characters=characters,
        top=tuple(
            _scored(int(one), float(logprob), spells)
            for one, logprob in zip(scores.top_ids, scores.top_logprobs, strict=True)
        ),
    )


class HeldLogprobs:
    """The logprobs of tokens whose text waits: for the rest of a character, or a stop sequence."""

    def __init__(self) -> None:
        self._held: deque[tuple[int, TokenLogprob]] = deque()  # where in the text it begins
        self._said = 0  # characters of the text, in all tokens so far
        self._shown = 0  # of these: shown

    def add(self, logprob: TokenLogprob) -> None:
        self._held.append((self._said, logprob))
        self._said += logprob.characters

    def show(self, characters: int) -> tuple[TokenLogprob, ...]:
        """So much more of the text is shown: the tokens that are in it."""
        self._shown += characters
        return tuple(self._pop_shown())

    def rest(self) -> tuple[TokenLogprob, ...]:
        """Everything: no stop sequence takes any of it away any more."""
        rest = tuple(logprob for _, logprob in self._held)
        self._held.clear()
        return rest

    def _pop_shown(self) -> Iterator[TokenLogprob]:
        while self._held and self._held[0][0] < self._shown:
            yield self._held.popleft()[1]


class PromptLogprobs:
    """A prompt's own logprobs; filled chunk by chunk while the prompt is computed.

    Computing a position again changes nothing: a row that gave way may have to.
    """

    def __init__(
        self, prompt: NDArray[np.int64], characters: Sequence[int], top: int, spells: Spells
    ) -> None:
        """`characters` that each token of the prompt adds to its text."""
        self._prompt = prompt
        self._characters = characters
        self._top = top
        self._spells = spells
        self._scores: list[TokenScores | None] = [None] * len(prompt)

    def note(self, logits: NDArray[np.float32], start: int) -> None:
        """`logits` [S, vocabulary] follow the prompt's tokens `start..start+S`."""
        # The last token's logits are about the first generated one, not about the prompt.
        stop = min(start + len(logits), len(self._prompt) - 1)
        for first in range(start, stop, ROWS_TOGETHER):
            last = min(first + ROWS_TOGETHER, stop)
            tokens = self._prompt[first + 1 : last + 1].tolist()
            tops = [self._top] * len(tokens)
            self._scores[first + 1 : last + 1] = score(
                logits[first - start : last - start], tokens, tops
            )

    def entries(self) -> tuple[TokenLogprob, ...]:
        """One per token, the first without a logprob: nothing comes before it."""
        found = [
            TokenLogprob(_scored(int(self._prompt[0]), None, self._spells), self._characters[0])
        ]
        for scores, characters in zip(self._scores[1:], self._characters[1:], strict=True):
            assert scores is not None, "a part of the prompt was computed without `note`"
            found.append(token_logprob(scores, characters, self._spells))
        return tuple(found)


def _scored(token: int, logprob: float | None, spells: Spells) -> ScoredToken:
    spelling = spells.spell(token)
    return ScoredToken(token, spelling.data, spelling.special, logprob)


def _log_normalisers(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """log(sum(exp(logits))) of each row; exact enough that likely tokens keep their digits."""
    best = logits.max(axis=1)
    weights = logits - best[:, None]
    np.exp(weights, out=weights)
    sums = weights.sum(axis=1).astype(np.float64)
    normalisers: NDArray[np.float64] = best.astype(np.float64) + np.log(sums)
    return normalisers


def _likeliest(row: NDArray[np.float32], top: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """By falling logit, equal ones by rising id."""
    if top == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    peaks = np.maximum.reduceat(row, np.arange(0, len(row), BLOCK))
    # So many blocks have a token of at least this logit, so the last one wanted has no lower.
    bound = np.partition(peaks, -top)[-top] if top <= len(peaks) else -np.inf
    ids = np.flatnonzero(row >= bound)
    ids = ids[np.lexsort((ids, -row[ids]))][:top]
    return ids, row[ids]
