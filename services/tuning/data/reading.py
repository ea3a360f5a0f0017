"""A training file -> examples, one at a time. A fault has its line and its reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bestiary.errors import BadTrainingData
from bestiary.schemas.tuning import DataFormat, Problem
from services.tuning.data.examples import Example
from services.tuning.data.formats import format_of, known_formats
from services.tuning.data.limits import DataLimits
from services.tuning.data.records import example_of
from services.tuning.data.rows import WHOLE_FILE, Row, Rows, Unfit, about_the_file
from services.tuning.data.sources.kinds import reader_of

LOOKED_AT = 20  # rows, for the format


@dataclass(frozen=True, slots=True)
class Read:
    """An example, and the row that it was."""

    format: DataFormat
    line: int
    example: Example
    keys: frozenset[str]


def read_examples(
    path: Path,
    filename: str,
    format: DataFormat | None = None,
    *,
    limits: DataLimits = DataLimits(),  # noqa: B008  frozen
) -> Iterator[Example]:
    """`filename` is what the caller named the file, `format` what it must be.

    Raises BadTrainingData at the first bad line, and for a file without examples.
    """
    found = False
    for one in read_file(path, filename, format, limits):
        if isinstance(one, Problem):
            where = f"line {one.line}: " if one.line else ""
            raise BadTrainingData(f"{filename}: {where}{one.reason}", "file", one.line)
        found = True
        yield one.example
    if not found:
        raise BadTrainingData(f"{filename}: there is no example in it")


def read_file(
    path: Path, filename: str, format: DataFormat | None, limits: DataLimits
) -> Iterator[Read | Problem]:
    """In the order of the file; goes on after a bad line."""
    size = path.stat().st_size
    if size > limits.max_bytes:
        yield about_the_file(f"the file has {size} bytes; the limit: {limits.max_bytes}")
        return
    try:
        rows = reader_of(path, filename)(path, limits)
    except Unfit as error:
        yield about_the_file(str(error))
        return
    first = list(islice(rows, LOOKED_AT))
    format = format or _format(first)
    if format is None:
        yield from _unknown(first)
        return
    yield from _parsed(iter(first), format, limits)
    yield from _parsed(rows, format, limits)


def _format(rows: list[Row | Problem]) -> DataFormat | None:
    found = (format_of(row.values.keys()) for row in rows if isinstance(row, Row))
    return next((format for format in found if format is not None), None)


def _unknown(first: list[Row | Problem]) -> Iterator[Problem]:
    problems = [one for one in first if isinstance(one, Problem)]
    if problems:
        yield from problems
        return
    row = next((one for one in first if isinstance(one, Row)), None)
    if row is not None:
        keys = ", ".join(repr(key)[:40] for key in list(row.values)[:8]) or "none"
        yield Problem(
            line=row.line, reason=f"the keys are {keys}; a line must be {known_formats()}"
        )


def _parsed(rows: Rows, format: DataFormat, limits: DataLimits) -> Iterator[Read | Problem]:
    for row in rows:
        if isinstance(row, Problem):
            yield row
            continue
        try:
            example = example_of(format, row.values, limits)
        except Unfit as error:
            yield Problem(line=row.line or WHOLE_FILE, reason=str(error))
            continue
        yield Read(format, row.line, example, frozenset(row.values))
