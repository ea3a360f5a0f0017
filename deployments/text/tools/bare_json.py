"""Reads calls that are an answer's bare JSON: nothing marks them, so they begin the answer.

    {"name": "get_weather", "arguments": {"city": "Oslo"}}

An answer that begins otherwise is text, and so is JSON that calls no known tool.
"""

from __future__ import annotations

from enum import Enum, auto

from deployments.text.tools.gathered import Gathered
from deployments.text.tools.open_call import OpenCall
from deployments.text.tools.tool_format import Read

_SPACE = " \t\r\n"


class _At(Enum):
    START = auto()  # and between two calls
    CALL = auto()
    TEXT = auto()  # for good


class BareJsonReader:
    """`between` are the characters that may stand around calls, besides white space."""

    def __init__(self, names: frozenset[str], between: str, prefix: str = "") -> None:
        """`prefix` is a word that may come before the first call."""
        self._names = names
        self._between = between + _SPACE
        self._prefix = prefix
        self._at = _At.START
        self._left = ""
        self._raw = ""  # before the first call
        self._call = OpenCall(0, names)
        self._calls = 0
        self._found = Gathered()

    def push(self, text: str) -> Read:
        self._left += text
        while self._left and self._advance():
            pass
        return self._found.take()

    def finish(self) -> Read:
        if self._at is _At.CALL and not self._call.named:
            self._found.say(self._raw + self._call.raw)
        elif self._at is _At.START and self._calls == 0:
            self._found.say(self._raw + self._left)
        self._left = ""
        return self._found.take()

    def _advance(self) -> bool:
        """Whether there may be more to read."""
        if self._at is _At.START:
            return self._read_start()
        if self._at is _At.CALL:
            return self._read_call()
        self._found.say(self._left)
        self._left = ""
        return False

    def _read_start(self) -> bool:
        self._skip(len(self._left) - len(self._left.lstrip(self._between)))
        if self._prefix and self._left.startswith(self._prefix):
            self._skip(len(self._prefix))
            self._prefix = ""
            return True
        if self._left.startswith("{"):
            self._call, self._at = OpenCall(self._calls, self._names), _At.CALL
            return True
        if self._prefix.startswith(self._left):
            return False  # of what is left, which may be nothing, more has to be known
        self._begin_text(self._raw)
        return True

    def _read_call(self) -> bool:
        self._left = self._left[self._call.push(self._left) :]
        self._found.add(self._call.take())
        if self._call.refused:
            self._begin_text(self._raw + self._call.raw)
        elif self._call.done:
            self._calls += 1
            self._raw = ""
            self._at = _At.START
        elif self._call.broken:
            self._begin_text("")
        return True

    def _skip(self, characters: int) -> None:
        if self._calls == 0:
            self._raw += self._left[:characters]
        self._left = self._left[characters:]

    def _begin_text(self, raw: str) -> None:
        self._found.say(raw)
        self._at = _At.TEXT
