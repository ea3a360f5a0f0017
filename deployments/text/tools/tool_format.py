"""What a way of writing tool calls consists of: how it looks, and how it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bestiary.schemas.text import ToolCallPiece


@dataclass(frozen=True, slots=True)
class Read:
    """What a piece of an answer turned out to be. The text comes before the calls."""

    text: str = ""
    calls: tuple[ToolCallPiece, ...] = ()


class CallReader(Protocol):
    """Reads one answer as it is written. What is no call of a known tool stays text."""

    def push(self, text: str) -> Read: ...

    def finish(self) -> Read:
        """The answer is at its end: what was held back."""
        ...


@dataclass(frozen=True, slots=True)
class CallSyntax:
    """One call: `opening {"name": NAME, ARGUMENTS_KEY: {...}} closing`.

    A marker is a word that is one token in most models that use it, often a special one.
    """

    arguments_key: str
    opening_marker: str = ""
    closing_marker: str = ""
    padding: str = ""  # between markers and JSON
    between: str = ""  # two calls
    opens_list: str = ""  # around several calls
    closes_list: str = ""

    @property
    def markers(self) -> tuple[str, ...]:
        return tuple(one for one in (self.opening_marker, self.closing_marker) if one)


@dataclass(frozen=True, slots=True)
class ToolFormat:
    name: str
    syntax: CallSyntax
    reader: Callable[[frozenset[str]], CallReader]  # takes the names of the known tools
