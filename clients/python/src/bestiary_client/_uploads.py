"""Files that callers give -> one file of a multipart form, read as it is sent.

Knows no wire beyond the form: who wants the file is said in `_files.py`.
"""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

# Bytes, the path of a file or of a folder (sent as a zip), or a file opened for reading bytes.
FileInput = bytes | str | os.PathLike[str] | IO[bytes]
# Told of every piece: bytes sent so far, bytes in all (None: not known beforehand).
OnProgress = Callable[[int, int | None], None]

UNNAMED = "data.jsonl"
_PIECE = 64 * 1024  # bytes


@dataclass(frozen=True)
class Upload:
    """`fields` come first in the form, so that the platform knows what it is about to read."""

    filename: str
    content: BinaryIO
    fields: Mapping[str, str]


@contextmanager
def uploading(
    given: FileInput,
    fields: Mapping[str, str],
    filename: str | None = None,
    on_progress: OnProgress | None = None,
) -> Iterator[Upload]:
    """What it opened is closed at its end. Raises OSError for a path that cannot be read."""
    with _opened(given) as (found_name, raw):
        counted = io.BufferedReader(_Counted(raw, on_progress), _PIECE)
        yield Upload(filename or found_name, counted, fields)


@contextmanager
def _opened(given: FileInput) -> Iterator[tuple[str, IO[bytes]]]:
    if isinstance(given, bytes):
        yield UNNAMED, io.BytesIO(given)
    elif isinstance(given, str | os.PathLike):
        path = Path(given)
        if path.is_dir():
            with _zipped(path) as packed:
                yield f"{path.resolve().name}.zip", packed
        else:
            with path.open("rb") as file:
                yield path.name, file
    else:
        name = getattr(given, "name", None)  # a number for files that were opened by descriptor
        yield Path(name).name if isinstance(name, str) else UNNAMED, given


@contextmanager
def _zipped(folder: Path) -> Iterator[IO[bytes]]:
    """On disk and not in memory; pictures are compressed already."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    packed.write(path, path.relative_to(folder).as_posix())
        file.seek(0)
        yield file


class _Counted(io.RawIOBase):
    """Reads `raw`, and tells how much of it is read. Does not close it."""

    def __init__(self, raw: IO[bytes], on_progress: OnProgress | None) -> None:
        self._raw = raw
        self._on_progress = on_progress
        self._done = 0
        self._total = _length(raw)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._total is not None

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any buffer, in theory
        piece = self._raw.read(len(buffer))
        buffer[: len(piece)] = piece
        self._done += len(piece)
        if self._on_progress is not None and piece:
            self._on_progress(self._done, self._total)
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if not self.seekable():
            raise io.UnsupportedOperation("seek")
        self._done = self._raw.seek(offset, whence)
        return self._done

    def tell(self) -> int:
        return self._done


def _length(raw: IO[bytes]) -> int | None:
    """None: a pipe or the like."""
    try:
        before = raw.tell()
        length = raw.seek(0, io.SEEK_END)
        raw.seek(before)
    except (OSError, AttributeError):
        return None
    return length
