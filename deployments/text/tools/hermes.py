"""Hermes' way, which Qwen and many others follow: JSON between `<tool_call>` tags.

    Let me look.
    <tool_call>
    {"name": "get_weather", "arguments": {"city": "Oslo"}}
    </tool_call>

https://github.com/NousResearch/Hermes-Function-Calling; SmolLM2 puts a list of calls
between the tags (https://huggingface.co/HuggingFaceTB/SmolLM2-1.7B-Instruct).
"""

from __future__ import annotations

from enum import Enum, auto

from deployments.text.tools.gathered import Gathered
from deployments.text.tools.open_call import OpenCall
from deployments.text.tools.tool_format import CallSyntax, Read, ToolFormat

OPEN = "<tool_call>"
CLOSE = "</tool_call>"
_AROUND_CALLS = " \t\r\n[],"  # within the tags


class _At(Enum):
    TEXT = auto()
    TAGS = auto()  # within them, between calls
    CALL = auto()
    WRECK = auto()  # of a call that broke off: up to the closing tag


class HermesReader:
    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._at = _At.TEXT
        self._left = ""  # not read yet
        self._raw: str | None = None  # from the tag on; None: a call was given out of it
        self._call = OpenCall(0, names)
        self._calls = 0  # begun and named
        self._found = Gathered()

    def push(self, text: str) -> Read:
        self._left += text
        while self._left and self._advance():
            pass
        return self._found.take()

    def finish(self) -> Read:
        unread = self._left
        if self._at is _At.TEXT:
            self._found.say(unread.rstrip() if self._calls else unread)
        elif self._at is _At.CALL and not self._call.named:
            self._found.say((self._raw or "") + self._call.raw + unread)
        elif self._at is _At.TAGS and self._raw is not None:
            self._found.say(self._raw + unread)
        self._left = ""
        return self._found.take()

    def _advance(self) -> bool:
        """Whether there may be more to read."""
        if self._at is _At.TEXT:
            return self._read_text()
        if self._at is _At.TAGS:
            return self._read_between_calls()
        if self._at is _At.CALL:
            return self._read_call()
        return self._skip_wreck()

    def _read_text(self) -> bool:
        before, tag, after = self._left.partition(OPEN)
        if not tag:
            held = _held_back(self._left)
            self._found.say(self._left[: len(self._left) - held])
            self._left = self._left[len(self._left) - held :]
            return False
        shown = before.rstrip()
        self._found.say(shown)
        self._raw, self._left, self._at = before[len(shown) :] + tag, after, _At.TAGS
        return True

    def _read_between_calls(self) -> bool:
        skipped = len(self._left) - len(self._left.lstrip(_AROUND_CALLS))
        if self._raw is not None:
            self._raw += self._left[:skipped]
        self._left = self._left[skipped:]
        if self._left.startswith("{"):
            self._call, self._at = OpenCall(self._calls, self._names), _At.CALL
            return True
        if self._left.startswith(CLOSE):
            self._left, self._at = self._left[len(CLOSE) :], _At.TEXT
            return True
        if CLOSE.startswith(self._left):
            return False
        self._not_a_call(self._raw or "")
        return True

    def _read_call(self) -> bool:
        self._left = self._left[self._call.push(self._left) :]
        self._found.add(self._call.take())
        if self._call.named:
            self._raw = None
        if self._call.refused:
            self._not_a_call((self._raw or "") + self._call.raw)
        elif self._call.done:
            self._calls += 1
            self._at = _At.TAGS
        elif self._call.broken:
            self._calls += 1
            self._at = _At.WRECK
        return True

    def _skip_wreck(self) -> bool:
        _, tag, after = self._left.partition(CLOSE)
        if tag:
            self._left, self._at = after, _At.TEXT
        else:
            self._left = self._left[-len(CLOSE) :]
        return bool(tag)

    def _not_a_call(self, raw: str) -> None:
        self._found.say(raw)
        self._at = _At.TEXT


def _held_back(text: str) -> int:
    """Length of the end of `text` that may belong to a tag: white space, and its beginning."""
    for length in range(min(len(OPEN) - 1, len(text)), -1, -1):
        if OPEN.startswith(text[len(text) - length :]):
            rest = text[: len(text) - length]
            return length + len(rest) - len(rest.rstrip())
    return 0


HERMES = ToolFormat(
    name="hermes",
    syntax=CallSyntax(
        arguments_key="arguments",
        opening_marker=OPEN,
        closing_marker=CLOSE,
        padding="\n",
        between="\n",
    ),
    reader=HermesReader,
)
