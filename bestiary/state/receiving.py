"""Bytes that arrive for a file: kept whole, or not at all. Knows no database.

They go to a partial file, which is renamed only after it is on the disk. A process
that is killed meanwhile leaves the partial, which nobody can read as a file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bestiary.errors import GardenError, Unavailable
from bestiary.garden.disk import full_disk_explained

PARTIAL = ".partial"
FULL_DISK_RETRY_S = 60.0


class PartialFile:
    """Written once, in order; then kept under `path` or discarded."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(path.name + PARTIAL)
        # Unbuffered: a full disk shows in `write`, and closing has nothing left to write.
        self._file = self._partial.open("xb", buffering=0)
        self._digest = hashlib.sha256()
        self.size = 0  # bytes

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        """Raises Unavailable where the disk is full."""
        rest = memoryview(data)
        with _full_disk_typed(self._path.parent, self.size + len(data)):
            while rest:
                rest = rest[self._file.write(rest) :]
        self._digest.update(data)
        self.size += len(data)

    def keep(self) -> None:
        """After it the bytes survive a power cut under their own name."""
        with _full_disk_typed(self._path.parent, self.size):
            os.fsync(self._file.fileno())
            self._file.close()
            self._partial.rename(self._path)
            sync_folder(self._path.parent)

    def discard(self) -> None:
        """Nothing stays of what is not kept."""
        self._file.close()
        self._partial.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """A new name in a folder is on the disk only when the folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _full_disk_typed(folder: Path, size: int) -> Iterator[None]:
    """The operator finds folder and sizes in the cause; the uploader hears what to do."""
    try:
        with full_disk_explained(folder, size, "an uploaded file"):
            yield
    except GardenError as error:
        message = "the platform's disk is full and the file is not kept; tell the operator"
        raise Unavailable(message, FULL_DISK_RETRY_S) from error
