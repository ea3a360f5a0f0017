"""What a reader has found in an answer since it was asked last."""

from __future__ import annotations

from collections.abc import Iterable

from bestiary.schemas.text import ToolCallPiece
from deployments.text.tools.tool_format import Read


class Gathered:
    def __init__(self) -> None:
        self._text: list[str] = []
        self._calls: list[ToolCallPiece] = []

    def say(self, text: str) -> None:
        self._text.append(text)

    def add(self, pieces: Iterable[ToolCallPiece]) -> None:
        self._calls += pieces

    def take(self) -> Read:
        """All of it; the next begins with nothing."""
        read = Read("".join(self._text), tuple(self._calls))
        self._text, self._calls = [], []
        return read
