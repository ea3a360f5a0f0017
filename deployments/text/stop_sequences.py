"""Which text may be shown while a stop sequence could still be forming at its end.

Knows text only. What is released does not depend on how the text was cut into
pieces: the stop sequence that is complete first wins, the longer one if two are
complete with the same character.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Released:
    """`text` may be shown. `stopped`: a stop sequence followed it, nothing more will come."""

    text: str
    stopped: bool = False


class StopBuffer:
    """Holds back the shortest tail that could be the beginning of a stop sequence."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""

    def push(self, text: str) -> Released:
        """The text that this piece makes safe to show."""
        if not self._stops:
            return Released(text)
        held = self._held + text
        start = self._first_stop(held)
        if start is not None:
            self._held = ""
            return Released(held[:start], stopped=True)
        keep = self._beginning_at_end(held)
        cut = len(held) - keep
        self._held = held[cut:]
        return Released(held[:cut])

    def flush(self) -> str:
        """What was held back: no stop sequence came of it."""
        held, self._held = self._held, ""
        return held

    def _first_stop(self, text: str) -> int | None:
        """Where the stop sequence begins that ends first."""
        found = ((text.find(stop), stop) for stop in self._stops)
        ends = [(start + len(stop), start) for start, stop in found if start >= 0]
        return min(ends)[1] if ends else None

    def _beginning_at_end(self, text: str) -> int:
        """Length of the longest end of `text` that begins a stop sequence."""
        longest = min(len(text), max(len(stop) for stop in self._stops) - 1)
        for length in range(longest, 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0
