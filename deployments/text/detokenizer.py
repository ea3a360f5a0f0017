"""Token ids -> text, token by token, never half a character.

A character can span tokens (byte-level vocabularies, byte fallback), and what a
token says can depend on the one before it (leading spaces), so new tokens are
decoded together with the tokens of the last piece, and only the difference is new.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

UNFINISHED = "\ufffd"  # what a decoder writes for bytes that are no character, or not yet
CHARACTER_TOKENS = 4  # a UTF-8 character has at most four bytes, one token each


class DecodesIds(Protocol):
    """What a detokenizer asks of a tokenizer; special tokens have no text."""

    def decode(self, ids: Sequence[int]) -> str: ...


class Detokenizer:
    """The text of one sequence as it grows."""

    def __init__(self, tokenizer: DecodesIds) -> None:
        self._tokenizer = tokenizer
        self._context: list[int] = []  # the tokens of the last piece
        self._pending: list[int] = []  # tokens whose text was not given out yet

    def push(self, token: int) -> str:
        """The text that this token completes; empty while a character is unfinished."""
        self._pending.append(token)
        text = self._pending_text()
        if not text.endswith(UNFINISHED):
            return self._give_out(text, len(self._pending)) if text else ""
        if len(self._pending) < 2 * CHARACTER_TOKENS:
            return ""
        # Bytes that will never be a character: keep only what could still become one.
        whole = len(self._pending) - CHARACTER_TOKENS + 1
        return self._give_out(self._tokenizer.decode(self._pending[:whole]), whole)

    def flush(self) -> str:
        """The rest, with U+FFFD where a character stayed unfinished."""
        return self._give_out(self._pending_text(), len(self._pending))

    def _pending_text(self) -> str:
        before = self._tokenizer.decode(self._context) if self._context else ""
        together = self._tokenizer.decode(self._context + self._pending)
        if together.startswith(before):
            return together[len(before) :]
        # Byte fallback turns a whole run of bytes into U+FFFD if its end is no character.
        return self._tokenizer.decode(self._pending)

    def _give_out(self, text: str, tokens: int) -> str:
        self._context = self._pending[:tokens]
        self._pending = self._pending[tokens:]
        return text
