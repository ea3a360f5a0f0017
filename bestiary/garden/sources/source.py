"""What every source does: bring a card's files into a folder. Checks and converts nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bestiary.errors import SourceUnavailable
from bestiary.garden.card import Source
from bestiary.garden.file_kinds import is_wanted
from bestiary.progress import Progress


@dataclass(frozen=True)
class Fetched:
    folder: Path
    names: tuple[str, ...]  # of the source's files under `folder`, with `/`; at least one
    owned: bool  # the files may be moved away; False: they are somebody's, copy them
    revision: str | None = None  # what a name such as `main` stood for, where the source says


class WeightSource(Protocol):
    def fetch(self, source: Source, partial: Path, progress: Progress) -> Fetched:
        """Downloads into `partial`, which the next try finds as this one left it.

        Raises SourceUnavailable where the source cannot be had (the card's next one is
        tried), ChecksumMismatch or UnsafeArchive where it gave something bad (the install
        ends: a tampered source is never passed over in silence).
        """
        ...


def address_of(source: Source) -> str:
    """The url without its scheme."""
    return source.url.partition("://")[2]


def fetched_from(
    folder: Path, source: Source, *, owned: bool, revision: str | None = None
) -> Fetched:
    """What `source` wants of the files below `folder`. Raises SourceUnavailable for nothing."""
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    names = tuple(sorted(path for path in paths if is_wanted(path, source)))
    if not names:
        raise SourceUnavailable(f"no {source.format} files in {source.url}")
    return Fetched(folder, names, owned, revision)
