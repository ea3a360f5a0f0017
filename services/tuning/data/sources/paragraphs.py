"""Plain text: each paragraph, that is each run of lines without a blank one, is a row."""

from __future__ import annotations

from pathlib import Path

from bestiary.schemas.tuning import Problem
from services.tuning.data.limits import DataLimits
from services.tuning.data.rows import Row, Rows
from services.tuning.data.sources.lines import lines_of


def paragraph_rows(path: Path, limits: DataLimits) -> Rows:
    """A paragraph over `limits.max_characters` is a problem at its first line."""
    first, gathered, size = 0, list[str](), 0
    for line in lines_of(path):
        if isinstance(line, Problem):
            yield line
            continue
        if line.text.strip():
            first = first or line.number
            size += len(line.text) + 1
            if size <= limits.max_characters + 1:
                gathered.append(line.text)
            continue
        if first:
            yield _row(first, gathered, size, limits)
        first, gathered, size = 0, [], 0
    if first:
        yield _row(first, gathered, size, limits)


def _row(first: int, gathered: list[str], size: int, limits: DataLimits) -> Row | Problem:
    if size > limits.max_characters + 1:
        return Problem(
            line=first,
            reason=f"a paragraph of over {limits.max_characters} characters: "
            "put blank lines between paragraphs",
        )
    return Row(first, {"text": "\n".join(gathered)})
