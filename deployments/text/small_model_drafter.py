"""Guesses tokens with a smaller model of the same vocabulary, in rows of a pool of its own.

A row here is known by the tokens in it, not by where the sequence stands in the batch: what
of them the sequence still has is kept, the rest is written over. So joins, moves, rows that
give way and guesses that were wrong need no word to it. What it lacks (a prompt, what was
said while nobody guessed) it reads first, a bounded part in each step, and guesses later.
Knows no requests and no costs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deployments.kernels.prompt_session import PromptPart
from deployments.text.decoder import Decoder
from deployments.text.speculation import RowSpeculation

# Tokens that a draft may have to read first. A whole draft that was right leaves two; more are
# read in a step of their own, so that what a draft is measured to cost is what it costs.
SHORT = 8
WORTH_COPYING = 16  # tokens that another row has already
# Steps in which a row that was just used is nobody else's: where more texts guess than there are
# rows, they would only read what the others wrote over.
KEPT = 2


class _Row:
    """One row of the pool and whose tokens are in it."""

    def __init__(self) -> None:
        self.text: RowSpeculation | None = None
        self.held: list[int] = []  # tokens whose KV is in the row
        self.agreed = 0  # so many of them are known to be the text's
        self.used = -KEPT  # the step that used it last, by number


class SmallModelDrafter:
    """`read_most`: tokens that all rows together may read in one step, beside drafting.

    The engine's thread is the only caller. `vocabulary` is that of the model that checks:
    tokens beyond it, where one of them is padded, are never guessed.
    """

    def __init__(self, decoder: Decoder, vocabulary: int, read_most: int) -> None:
        self._decoder = decoder
        self._vocabulary = min(vocabulary, decoder.vocabulary)
        self._read_most = read_most
        self._left = read_most
        self._rows = [_Row() for _ in range(decoder.slots)]
        self._step = 0

    def begin_step(self) -> None:
        """See `Drafter`."""
        self._left = self._read_most
        self._step += 1

    def draft(self, row: int, text: RowSpeculation, most: int) -> list[int]:
        """See `Drafter`; nothing while it still reads, or where no row is free or long enough."""
        tokens = text.tokens
        most = min(most, self._decoder.max_length - len(tokens))
        if most < 1:
            return []
        place = self._place_of(text)
        if place is None or not self._is_ready(place, tokens):
            return []
        return self._guess(place, tokens, most)

    def _guess(self, place: int, tokens: Sequence[int], most: int) -> list[int]:
        """Greedy: a guess is worth most where it is likeliest."""
        unread = list(tokens[len(self._rows[place].held) :])
        found: list[int] = []
        while len(found) < most:
            logits = self._append(place, unread)
            found.append(int(logits[: self._vocabulary].argmax()))
            unread = found[-1:]
        return found

    def _is_ready(self, place: int, tokens: Sequence[int]) -> bool:
        """Forgets what the text does not have; where it lacks much of it, reads that instead."""
        row = self._rows[place]
        agreed = row.agreed + _common(row.held[row.agreed :], tokens[row.agreed : -1])
        del row.held[agreed:]
        row.agreed = agreed
        unread = tokens[agreed:-1]
        if len(unread) < SHORT:
            return True
        part = unread[: self._left]
        if part:
            self._left -= len(part)
            self._read(place, part)
        return False

    def _read(self, place: int, tokens: Sequence[int]) -> None:
        row = self._rows[place]
        ids = np.array(tokens, np.int64)
        self._decoder.read([PromptPart(place, ids, len(row.held))])
        row.held += tokens
        row.agreed = len(row.held)

    def _append(self, place: int, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Logits [vocabulary] after the last of them."""
        row = self._rows[place]
        ids, past = np.array([tokens], np.int64), np.array([len(row.held)], np.int32)
        logits = self._decoder.run(place, ids, past)
        row.held += tokens
        last: NDArray[np.float32] = logits[-1]
        return last

    def _place_of(self, text: RowSpeculation) -> int | None:
        """The text's row; where it has none, the one that was used longest ago, if any may go."""
        places = range(len(self._rows))
        for place in places:
            if self._rows[place].text is text:
                break
        else:
            place = min(places, key=lambda one: self._rows[one].used)
            if self._rows[place].used > self._step - KEPT:
                return None
            self._give(place, text)
        self._rows[place].used = self._step
        return place

    def _give(self, place: int, text: RowSpeculation) -> None:
        """With what another row holds of the same beginning: a candidate's, an evicted text's."""
        row = self._rows[place]
        shared = [_common(one.held, text.tokens[:-1]) for one in self._rows]
        source = max(range(len(shared)), key=shared.__getitem__)
        if source != place and shared[source] >= max(WORTH_COPYING, shared[place] + 1):
            del row.held[:]  # whatever becomes of the copy
            self._decoder.move_row(source, place, shared[source])
            row.held = self._rows[source].held[: shared[source]]
        row.text, row.agreed = text, 0


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens both begin with; by halves, as slices compare fast."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
