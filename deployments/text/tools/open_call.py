"""A call that is being read. Nothing of it is given out before its tool is known."""

from __future__ import annotations

from bestiary.schemas.text import ToolCallPiece
from deployments.text.tools.call_scanner import CallScanner


class OpenCall:
    """Call number `index` of an answer; `names` are those of the known tools."""

    def __init__(self, index: int, names: frozenset[str]) -> None:
        self.raw = ""  # what it was made of
        self._index = index
        self._names = names
        self._scanner = CallScanner()
        self._named = False  # its first piece was given out
        self._has_arguments = False

    @property
    def refused(self) -> bool:
        """It is no call: `raw` is text like any other."""
        scanner = self._scanner
        if self._named:
            return False
        if scanner.name is None:
            return scanner.done or scanner.broken
        return scanner.name not in self._names

    @property
    def named(self) -> bool:
        return self._named

    @property
    def done(self) -> bool:
        return self._scanner.done

    @property
    def broken(self) -> bool:
        """It began as a call and is no JSON any more."""
        return self._named and self._scanner.broken

    def push(self, text: str) -> int:
        """How many characters belong to it."""
        taken = self._scanner.push(text)
        self.raw += text[:taken]
        return taken

    def take(self) -> tuple[ToolCallPiece, ...]:
        """What may be said of it since the last time."""
        if self.refused or self._scanner.name is None:
            return ()
        pieces: list[ToolCallPiece] = []
        if not self._named:
            self._named = True
            pieces.append(ToolCallPiece(self._index, self._scanner.name, ""))
        arguments = self._scanner.take_arguments()
        if self.done and not (arguments or self._has_arguments):
            arguments = "{}"
        if arguments:
            self._has_arguments = True
            pieces.append(ToolCallPiece(self._index, None, arguments))
        return tuple(pieces)
