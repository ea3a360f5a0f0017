"""Progress of a download that somebody else does, seen from the size of what it writes."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bestiary.garden.disk import MEGABYTE
from bestiary.progress import Task

PERIOD_S = 0.25


class Growth:
    """Reports what a folder gained since the last look, in MB.

    `largest_only` looks at its largest file: for a downloader that keeps several copies.
    """

    def __init__(self, folder: Path, task: Task, *, largest_only: bool = False) -> None:
        self._folder = folder
        self._task = task
        self._measure = max if largest_only else sum
        self._seen = 0  # bytes; what a resumed download has already counts as progress

    def report(self) -> bool:
        """Whether the folder grew. A shrinking one (a moved file) is not progress."""
        size = self._measure((0, *_sizes(self._folder)))
        if size <= self._seen:
            return False
        self._task.advance((size - self._seen) / MEGABYTE)
        self._seen = size
        return True


@contextmanager
def watched(folder: Path, task: Task) -> Iterator[None]:
    """Reports the folder's growth from a thread while the body runs."""
    growth = Growth(folder, task)
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(PERIOD_S):
            growth.report()

    thread = threading.Thread(target=watch, name="download-growth", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        growth.report()


def _sizes(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:  # the downloader renamed it under our eyes
            continue
        if stat.S_ISREG(status.st_mode):
            yield status.st_size
