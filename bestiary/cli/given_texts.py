"""The texts that a command works on: its arguments, or else what is piped in."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bestiary.errors import InvalidRequest


def lines_given(arguments: Sequence[str] | None, what: str = "text") -> list[str]:
    """Each argument, or else each line of standard input. Raises InvalidRequest for none."""
    return list(arguments or ()) or _some(_piped_in().splitlines(), what)


def whole_given(arguments: Sequence[str] | None, what: str = "text") -> list[str]:
    """Each argument, or else all of standard input as one. Raises InvalidRequest for none."""
    return list(arguments or ()) or _some([_piped_in().strip()], what)


def _piped_in() -> str:
    """Empty where a person sits at the other end: a command that waits looks as if it hung."""
    return "" if sys.stdin.isatty() else sys.stdin.read()


def _some(texts: Sequence[str], what: str) -> list[str]:
    found = [text for text in texts if text.strip()]
    if not found:
        raise InvalidRequest(f"there is no {what}: give one, or pipe one in", what)
    return found
