"""Guesses what comes next by looking where the last tokens stood before (prompt lookup).

Text that is edited, extracted or quoted repeats itself; then what followed an n-gram
last time follows it again. Costs a few dictionary look-ups a token and no model.
https://github.com/apoorvumang/prompt-lookup-decoding
"""

from __future__ import annotations

from collections.abc import Sequence

# Tokens of the n-grams, the longest match first. Pairs recur by chance: they guessed wrong so
# often in text that repeats nothing that it ran at 0.94 of its speed.
LONGEST, SHORTEST = 4, 3


class NgramIndex:
    """Over tokens that somebody else appends to: where each n-gram of them ended last."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = tokens
        self._ends: dict[tuple[int, ...], int] = {}
        self._indexed = 0  # n-grams that end at or before it are known

    def continuation(self, most: int) -> list[int]:
        """Up to `most` tokens that followed the longest known n-gram at the end."""
        self._catch_up()
        tokens, length = self._tokens, len(self._tokens)
        for size in range(min(LONGEST, length), SHORTEST - 1, -1):
            end = self._ends.get(tuple(tokens[length - size :]))
            if end is not None:
                return list(tokens[end : end + most])
        return []

    def _catch_up(self) -> None:
        """All but the n-grams at the very end: those would find themselves."""
        for end in range(self._indexed + 1, len(self._tokens)):
            for size in range(SHORTEST, min(LONGEST, end) + 1):
                self._ends[tuple(self._tokens[end - size : end])] = end
            self._indexed = end
