"""Which reader a file gets: by its name's ending, or where that says nothing by its first bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePath

from services.tuning.data.limits import DataLimits
from services.tuning.data.rows import Rows, Unfit
from services.tuning.data.sources.archives import picture_rows
from services.tuning.data.sources.json_lines import json_rows
from services.tuning.data.sources.paragraphs import paragraph_rows
from services.tuning.data.sources.tables import comma_rows, parquet_rows, tab_rows

Reader = Callable[[Path, DataLimits], Rows]

READERS: dict[str, Reader] = {
    ".jsonl": json_rows,
    ".ndjson": json_rows,
    ".json": json_rows,
    ".txt": paragraph_rows,
    ".csv": comma_rows,
    ".tsv": tab_rows,
    ".parquet": parquet_rows,
    ".zip": picture_rows,
}
_BINARY: dict[bytes, Reader] = {b"PAR1": parquet_rows, b"PK\x03\x04": picture_rows}
_SNIFFED = 4096  # bytes


def reader_of(path: Path, filename: str) -> Reader:
    """Raises Unfit for an empty file, an unknown kind, and a name that its content belies."""
    with path.open("rb") as file:
        start = file.read(_SNIFFED)
    if not start.strip():
        raise Unfit("the file is empty")
    suffix = PurePath(filename).suffix.lower()
    named, found = READERS.get(suffix), _by_content(start)
    if named is None:
        if found is None:
            raise Unfit(f"unknown kind of file {suffix!r}: name it one of {', '.join(READERS)}")
        return found
    if found is not None and found is not named and found is not json_rows:
        raise Unfit(f"the content is not what the ending {suffix!r} says")
    return named


def _by_content(start: bytes) -> Reader | None:
    for magic, reader in _BINARY.items():
        if start.startswith(magic):
            return reader
    return json_rows if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else None
