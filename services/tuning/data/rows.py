"""What stands between a file and its examples: rows with the line that they came from.

A source yields rows and problems in the order of the file and raises nothing for bad bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bestiary.schemas.tuning import Problem

WHOLE_FILE = 0  # the line of a problem that no one line has


@dataclass(frozen=True, slots=True)
class Row:
    """`line` counts from 1; of a table it is the row's, its header counted."""

    line: int
    values: Mapping[str, object]


Rows = Iterator[Row | Problem]


class Unfit(ValueError):
    """Why a row or a file cannot be used; caught where the line is known."""


def about_the_file(reason: str) -> Problem:
    return Problem(line=WHOLE_FILE, reason=reason)
