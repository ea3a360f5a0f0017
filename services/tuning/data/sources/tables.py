"""CSV, TSV and Parquet through `datasets`, read in pieces: no network, no script, no cache kept.

A cell of text that is a JSON list or object counts as one, so that a CSV can hold messages.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson

from services.tuning.data.limits import DataLimits
from services.tuning.data.rows import Row, Rows, Unfit, about_the_file

HEADER = 1  # line
BATCH = 256  # rows
STRUCTURED = ("messages", "prompt", "chosen", "rejected", "input", "preferred_output",
              "non_preferred_output", "tokens", "tags")  # fmt: skip
_SNIFFED = 64 * 1024  # bytes
_MAX_COLUMNS = 1000


def comma_rows(path: Path, limits: DataLimits) -> Rows:
    return _text_rows(path, ",")


def tab_rows(path: Path, limits: DataLimits) -> Rows:
    return _text_rows(path, "\t")


def parquet_rows(path: Path, limits: DataLimits) -> Rows:
    import pyarrow as pa  # seconds to import, and few files are tables
    from datasets.packaged_modules.parquet.parquet import Parquet

    try:
        _check_parquet(path, limits)
        with tempfile.TemporaryDirectory(prefix="bestiary-table-") as cache:
            builder = Parquet(cache_dir=cache, data_files={"train": [str(path)]})
            for line, cells in _cells(builder):
                yield Row(line, cells)
    # What is in the file decides what pyarrow meets: its own errors, and those of its readers.
    except (Unfit, ValueError, TypeError, KeyError, OSError, NotImplementedError) as error:
        yield about_the_file(f"not a readable Parquet file: {_first_line(error)}")
    except pa.ArrowException as error:
        yield about_the_file(f"not a readable Parquet file: {_first_line(error)}")


def _text_rows(path: Path, separator: str) -> Rows:
    from datasets import Features, Value  # seconds to import, and few files are tables
    from datasets.packaged_modules.csv.csv import Csv

    try:
        columns = _header(path, separator)
        with tempfile.TemporaryDirectory(prefix="bestiary-table-") as cache:
            builder = Csv(
                cache_dir=cache,
                data_files={"train": [str(path)]},
                sep=separator,
                features=Features({name: Value("string") for name in columns}),
                keep_default_na=False,  # the word "NA" is a word
                on_bad_lines="error",
                encoding="utf-8-sig",
                chunksize=BATCH,
            )
            for line, cells in _cells(builder):
                yield Row(line, {name: _parsed(name, cell) for name, cell in cells.items()})
    except (Unfit, ValueError, TypeError, KeyError, OSError, csv.Error) as error:
        yield about_the_file(f"not a readable table: {_first_line(error)}")


def _cells(builder: object) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Empty cells are left out."""
    stream = builder.as_streaming_dataset(split="train").with_format("arrow")  # type: ignore[attr-defined]
    line = HEADER
    for table in stream.iter(batch_size=BATCH):
        for record in table.to_pylist():
            line += 1
            yield line, {name: cell for name, cell in record.items() if cell not in (None, "")}


def _parsed(name: str, cell: object) -> object:
    if name not in STRUCTURED or not isinstance(cell, str) or cell.lstrip()[:1] not in ("[", "{"):
        return cell
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError:
        return cell


def _header(path: Path, separator: str) -> list[str]:
    """The column names. Raises Unfit for what is no text or has no usable header."""
    with path.open("rb") as file:
        start = file.read(_SNIFFED)
    # A compressed file would be unpacked on the way, to whatever size.
    if b"\0" in start or start.startswith((b"BZh", b"\x1f\x8b", b"PK\x03\x04")):
        raise Unfit("it is binary; upload the table as plain text, or as Parquet")
    with path.open(encoding="utf-8-sig", newline="") as text:
        columns = next(
            csv.reader(iter(lambda: text.readline(_SNIFFED), ""), delimiter=separator), []
        )
    if not any(name.strip() for name in columns):
        raise Unfit("the first line must name the columns")
    if len(columns) > _MAX_COLUMNS:
        raise Unfit(f"there are over {_MAX_COLUMNS} columns")
    if len(set(columns)) < len(columns):
        raise Unfit("two columns have the same name")
    return columns


def _check_parquet(path: Path, limits: DataLimits) -> None:
    """Before anything is unpacked: a small file can stand for a great many rows."""
    import pyarrow.parquet as pq

    facts = pq.read_metadata(path)
    if facts.num_rows > limits.max_examples:
        raise Unfit(f"it has {facts.num_rows} rows; the limit: {limits.max_examples}")
    unpacked = sum(facts.row_group(at).total_byte_size for at in range(facts.num_row_groups))
    if unpacked > limits.max_unpacked:
        raise Unfit(f"it unpacks to {unpacked} bytes; the limit: {limits.max_unpacked}")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
