"""Token ids -> text, token by token, never half a character."""

from __future__ import annotations

from collections.abc import Callable, Sequence

UNFINISHED = "\ufffd"  # what a decoder writes for bytes that are no character, or not yet


class TextGrowth:
    """The text of one output as it grows. `decode` leaves special tokens out.

    All is decoded again each time: outputs are short, and what a token says can depend on
    those before it.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        self._given = ""

    def push(self, token: int) -> str:
        """The text that this token completes; empty while a character is unfinished."""
        self._tokens.append(token)
        text = self._decode(self._tokens)
        return "" if text.endswith(UNFINISHED) else self._rest(text)

    def finish(self, text: str) -> str:
        """What of the whole `text` was not given out yet."""
        return self._rest(text)

    def _rest(self, text: str) -> str:
        if not text.startswith(self._given):
            return ""
        rest = text[len(self._given) :]
        self._given = text
        return rest
