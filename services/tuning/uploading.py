"""One upload on its way to the disk. Knows no HTTP; the file's name and its purpose come late."""

from __future__ import annotations

from threading import Lock
from types import TracebackType

from bestiary.errors import Conflict, InvalidRequest
from bestiary.state.files import FilePurpose, Files, Receiving, StoredFile


class Upload:
    """Entered before the first byte. Left without `finish`, nothing of it stays.

    `finish` may still run in its thread when the caller has given up and leaves: then it goes on
    to its own end.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._receiving: Receiving | None = None
        self._finishing = False
        self._left = False
        self._lock = Lock()

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._left = True
            if self._receiving is not None and not self._finishing:
                self._receiving.__exit__(kind, error, trace)

    def begin(self, filename: str) -> Receiving:
        """To write the bytes into. Raises InvalidRequest for a name that cannot be kept."""
        self._receiving = self._files.receive(filename, FilePurpose.USER_DATA)
        return self._receiving

    def finish(self, purpose: FilePurpose) -> StoredFile:
        """Raises InvalidRequest where there was no file, Unavailable."""
        with self._lock:
            if self._left:
                raise Conflict("the upload was given up")
            if self._receiving is None:
                raise InvalidRequest("no file came", "file")
            self._finishing = True
        with self._receiving as receiving:
            return receiving.finish(purpose)
