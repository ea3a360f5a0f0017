"""A full disk, said in words: how much is needed, how much there is."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bestiary.errors import GardenError

MEGABYTE = 1_000_000
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Raises GardenError before work that could not end; `needed` in bytes."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise GardenError(_message(folder, needed, free, purpose))


@contextmanager
def full_disk_explained(folder: Path, needed: int, purpose: str) -> Iterator[None]:
    """Turns a write that found the disk, the quota or the file-size limit full into GardenError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        free = shutil.disk_usage(folder).free
        message = _message(folder, needed, free, purpose)
        raise GardenError(f"{message} ({error.strerror})") from error


def _message(folder: Path, needed: int, free: int, purpose: str) -> str:
    return (
        f"no room for {purpose}: about {needed / MEGABYTE:.0f} MB are needed under {folder}, "
        f"{free / MEGABYTE:.0f} MB are free; free some, or set BESTIARY_HOME to another disk"
    )
