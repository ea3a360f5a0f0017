"""A zip file of pictures and their captions, as `datasets` lays out an imagefolder.

Captions are in `metadata.jsonl` or `metadata.csv` (`file_name`, `text` or `caption`), or in
NAME.txt beside NAME.png. Nothing is written to the disk; pictures are read one at a time.
https://huggingface.co/docs/datasets/image_dataset#imagefolder
"""

from __future__ import annotations

import csv
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import orjson

from bestiary.errors import UnsafeArchive
from bestiary.garden.archive import check_members
from bestiary.schemas.tuning import Problem
from services.tuning.data.limits import DataLimits
from services.tuning.data.rows import WHOLE_FILE, Row, Rows, Unfit, about_the_file

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
METADATA = ("metadata.jsonl", "metadata.csv")
NESTED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst", ".whl", ".jar")
CAPTION_KEYS = ("text", "caption")
MAX_PICTURE = 64 * 1024**2  # bytes
MAX_METADATA = 64 * 1024**2  # bytes
MAX_CAPTION = 64 * 1024  # bytes
UNREADABLE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    NotImplementedError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    OverflowError,
)


def picture_rows(path: Path, limits: DataLimits) -> Rows:
    """Rows of `file_name`, `caption` and `data`; those of NAME.txt have no line."""
    try:
        with zipfile.ZipFile(path) as opened:
            yield from _Folder(opened, limits).rows()
    except UnsafeArchive as error:
        yield about_the_file(str(error))
    except UNREADABLE as error:  # what the file's bytes make zipfile and its decoders raise
        yield about_the_file(f"not a readable zip file: {error}")


class _Folder:
    def __init__(self, opened: zipfile.ZipFile, limits: DataLimits) -> None:
        self._opened = opened
        members = opened.infolist()
        check_members("the zip file", members, limits.max_unpacked)
        self._members = {
            one.filename: one for one in members if not one.is_dir() and not _hidden(one.filename)
        }

    def rows(self) -> Rows:
        yield from self._strangers()
        metadata = [name for name in self._members if PurePosixPath(name).name in METADATA]
        if len(metadata) > 1:
            yield about_the_file(f"there are several lists of captions: {', '.join(metadata[:5])}")
        elif metadata:
            yield from self._listed(metadata[0])
        else:
            yield from self._beside()

    def _strangers(self) -> Iterator[Problem]:
        for name in self._members:
            suffix = PurePosixPath(name).suffix.lower()
            if suffix in NESTED:
                yield about_the_file(f"{name!r} is an archive in the archive: unpack it first")
            elif suffix not in (*PICTURES, ".txt") and PurePosixPath(name).name not in METADATA:
                known = ", ".join(PICTURES)
                yield about_the_file(f"{name!r} is neither a picture ({known}) nor a caption")

    def _listed(self, metadata: str) -> Rows:
        folder = PurePosixPath(metadata).parent
        pictures = frozenset(self._pictures())
        missing = set(pictures)
        for found in self._records(metadata):
            if isinstance(found, Problem):
                yield found
                continue
            given = found.values.get("file_name")
            name = str(folder / given) if isinstance(given, str) else ""
            if name not in pictures:
                yield Problem(line=found.line, reason=f"`file_name` {given!r}: no such picture")
                continue
            missing.discard(name)
            caption = next((found.values[key] for key in CAPTION_KEYS if key in found.values), None)
            yield self._row(found.line, name, caption)
        for name in sorted(missing):
            yield about_the_file(f"{name!r} has no caption in {metadata}")

    def _beside(self) -> Rows:
        for name in sorted(self._pictures()):
            beside = str(PurePosixPath(name).with_suffix(".txt"))
            if beside not in self._members:
                yield about_the_file(f"{name!r} has no caption: add {beside!r} or metadata.jsonl")
                continue
            try:
                caption = self._read(beside, MAX_CAPTION).decode("utf-8-sig").strip()
            except UnicodeDecodeError:
                yield about_the_file(f"{beside!r} is not UTF-8")
                continue
            except Unfit as error:
                yield about_the_file(str(error))
                continue
            yield self._row(WHOLE_FILE, name, caption)

    def _row(self, line: int, name: str, caption: object) -> Row | Problem:
        try:
            data = self._read(name, MAX_PICTURE)
        except Unfit as error:
            return Problem(line=line, reason=str(error))
        return Row(line, {"file_name": name, "caption": caption, "data": data})

    def _records(self, metadata: str) -> Rows:
        try:
            text = self._read(metadata, MAX_METADATA).decode("utf-8-sig")
            parse = _json_records if metadata.endswith(".jsonl") else _csv_records
            yield from parse(text)
        except (Unfit, UnicodeDecodeError, csv.Error) as error:
            yield about_the_file(f"{metadata}: {error}")

    def _pictures(self) -> list[str]:
        return [one for one in self._members if PurePosixPath(one).suffix.lower() in PICTURES]

    def _read(self, name: str, most: int) -> bytes:
        member = self._members[name]
        if member.file_size > most:
            raise Unfit(f"{name!r} has {member.file_size} bytes; the limit: {most}")
        # zipfile stops at the declared size and checks the CRC.
        try:
            return self._opened.read(member)
        except UNREADABLE as error:
            raise Unfit(f"{name!r} is damaged: {error}") from error


def _json_records(text: str) -> Rows:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            document = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            yield Problem(line=number, reason=f"metadata.jsonl: not valid JSON: {error}")
            continue
        if isinstance(document, Mapping):
            yield Row(number, document)
        else:
            yield Problem(line=number, reason="metadata.jsonl: not a JSON object")


def _csv_records(text: str) -> Rows:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    for record in reader:
        yield Row(reader.line_num, {key: cell for key, cell in record.items() if key is not None})


def _hidden(name: str) -> bool:
    """What systems add to archives by themselves."""
    parts = PurePosixPath(name).parts
    return (
        "__MACOSX" in parts
        or any(part.startswith(".") for part in parts)
        or (parts[-1].lower() in ("thumbs.db", "desktop.ini"))
    )
