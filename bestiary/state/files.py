"""Files that users upload and jobs write: their bytes in a folder, their facts in the database.

What is in them is not known here; whoever checks a file tells it by `checked`.
A row is written only after its bytes are on the disk, and bytes go only after their
row: a kill in between leaves bytes without a row, which `sweep` removes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from bestiary.errors import Conflict, InvalidRequest, NotFound
from bestiary.schemas.base import Frozen
from bestiary.schemas.tuning import DataReport, JobStatus, Problem
from bestiary.state.database import Database
from bestiary.state.names import new_id, storable
from bestiary.state.pages import Page, read_page
from bestiary.state.receiving import PartialFile
from bestiary.state.stored import now
from bestiary.state.tables import NAME_CHARACTERS, FileRow, TuningJobRow

MAX_PAGE = 10_000  # files, as OpenAI
ABANDONED_AFTER_S = 3600.0  # since the last byte was written


class FilePurpose(StrEnum):
    """OpenAI's words."""

    FINE_TUNE = "fine-tune"
    FINE_TUNE_RESULTS = "fine-tune-results"
    BATCH = "batch"
    BATCH_OUTPUT = "batch_output"
    USER_DATA = "user_data"
    VISION = "vision"
    ASSISTANTS = "assistants"
    EVALS = "evals"


class FileStatus(StrEnum):
    UPLOADED = "uploaded"  # not checked
    PROCESSED = "processed"  # checked, and good
    ERROR = "error"  # checked, and of no use; `problems` say why


class StoredFile(Frozen):
    id: str  # file-...
    filename: str  # as the uploader named it; never a path of ours
    purpose: FilePurpose
    bytes: int
    sha256: str
    status: FileStatus
    created_at: datetime
    report: DataReport | None = None
    problems: tuple[Problem, ...] = ()


class Receiving:
    """One upload. Left without `finish`, nothing of it stays.

    Where the database fails in `finish`, the bytes stay for `sweep`: whether it has
    committed before it failed is not known.
    """

    def __init__(self, database: Database, folder: Path, row: FileRow) -> None:
        self._database = database
        self._row = row
        self._file = PartialFile(folder / row.id)

    def __enter__(self) -> Receiving:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.discard()

    def write(self, data: bytes) -> None:
        """Raises Unavailable where the disk is full."""
        self._file.write(data)

    def finish(self, purpose: FilePurpose | None = None) -> StoredFile:
        """After it the file survives a power cut. Raises Unavailable.

        `purpose` takes the place of the one it began with: a form may tell it after the bytes.
        """
        if purpose is not None:
            self._row.purpose = purpose
        self._file.keep()
        self._row.bytes = self._file.size
        self._row.sha256 = self._file.sha256
        self._row.created_at = now()
        stored = _as_file(self._row)
        with self._database.writing() as session:
            session.add(self._row)
        return stored


class Files:
    """The store of files. Blocking; raises Unavailable where the database does not answer."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def receive(self, filename: str, purpose: FilePurpose) -> Receiving:
        """A context manager to write the bytes into, then `finish`. Raises InvalidRequest."""
        if not filename or len(filename) > NAME_CHARACTERS or not storable(filename):
            raise InvalidRequest(
                f"a file needs a name of 1 to {NAME_CHARACTERS} printable characters", "file"
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        row = FileRow(
            id=new_id("file"),
            filename=filename,
            purpose=purpose,
            status=FileStatus.UPLOADED,
            report=None,
            problems=(),
        )
        return Receiving(self._database, self._folder, row)

    def get(self, id: str) -> StoredFile:
        """Raises NotFound."""
        with self._database.reading() as session:
            return _as_file(_found(session, id))

    def list(
        self,
        *,
        purpose: FilePurpose | None = None,
        after: str | None = None,
        limit: int = MAX_PAGE,
        newest_first: bool = True,
    ) -> Page[StoredFile]:
        """`after` is the id of the last file of the page before. Raises NotFound for it."""
        rows = select(FileRow)
        if purpose is not None:
            rows = rows.where(FileRow.purpose == purpose)
        with self._database.reading() as session:
            return read_page(
                session,
                rows,
                FileRow.number,
                _as_file,
                after=_found(session, after).number if after is not None else None,
                limit=limit,
                newest_first=newest_first,
            )

    def path(self, id: str) -> Path:
        """Where its bytes are, to read. Raises NotFound."""
        path = self._folder / self.get(id).id
        if not path.is_file():
            raise NotFound(f"the bytes of file {id!r} are gone from the platform's disk")
        return path

    def checked(
        self, id: str, report: DataReport | None, problems: Sequence[Problem]
    ) -> StoredFile:
        """Keeps what a check found; a file with problems is of no use. Raises NotFound."""
        with self._database.writing() as session:
            row = _found(session, id, locked=True)
            row.status = FileStatus.ERROR if problems else FileStatus.PROCESSED
            row.report = report
            row.problems = tuple(problems)
            return _as_file(row)

    def delete(self, id: str) -> None:
        """Raises NotFound, and Conflict while a job that is not final uses it."""
        with self._database.writing() as session:
            row = _found(session, id, locked=True)
            job = _job_that_uses(session, row.id)
            if job is not None:
                raise Conflict(f"file {id!r} is used by job {job!r}: cancel the job first")
            session.delete(row)
        (self._folder / id).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Removes what killed uploads and deletions left, once nobody wrote to it for an hour."""
        old = {path.name: path for path in _untouched(self._folder)}
        with self._database.reading() as session:
            known = set(session.scalars(select(FileRow.id)).all())
        for name, path in old.items():
            if name not in known:
                path.unlink(missing_ok=True)


def _found(session: Session, id: str, *, locked: bool = False) -> FileRow:
    query = select(FileRow).where(FileRow.id == id)
    if locked:
        query = query.with_for_update()
    row = session.scalars(query).one_or_none() if storable(id) else None
    if row is None:
        raise NotFound(f"no file has the id {id!r}")
    return row


def _job_that_uses(session: Session, file: str) -> str | None:
    return session.scalars(
        select(TuningJobRow.id)
        .where(
            TuningJobRow.status.in_([status for status in JobStatus if not status.final]),
            or_(TuningJobRow.training_file == file, TuningJobRow.validation_file == file),
        )
        .limit(1)
    ).one_or_none()


def _untouched(folder: Path) -> Iterable[Path]:
    """Files in the folder that nobody has written to for an hour."""
    before = time.time() - ABANDONED_AFTER_S
    for path in folder.glob("file-*"):
        try:
            if path.stat().st_mtime < before:
                yield path
        except FileNotFoundError:  # finished or removed meanwhile
            continue


def _as_file(row: FileRow) -> StoredFile:
    return StoredFile(
        id=row.id,
        filename=row.filename,
        purpose=FilePurpose(row.purpose),
        bytes=row.bytes,
        sha256=row.sha256,
        status=FileStatus(row.status),
        created_at=row.created_at,
        report=row.report,
        problems=row.problems,
    )
