"""`file:///path` and `zoo://name`: weights that are on this machine already. Copies nothing."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from bestiary.errors import CardInvalid, SourceUnavailable
from bestiary.garden.card import Source
from bestiary.garden.sources.source import Fetched, address_of, fetched_from
from bestiary.progress import Progress


class FileSource:
    """A folder or one file, by its absolute path."""

    def fetch(self, source: Source, partial: Path, progress: Progress) -> Fetched:
        """See `WeightSource`."""
        split = urlsplit(source.url)
        path = Path(unquote(split.path))
        if split.netloc or not path.is_absolute():
            raise CardInvalid(f"{source.url}: write file:///absolute/path")
        if path.is_file():
            return Fetched(path.parent, (path.name,), owned=False)
        return _folder(path, source)


class ZooSource:
    """A model that this project trained, by the name of its folder under `zoo`."""

    def __init__(self, zoo: Path) -> None:
        self._zoo = zoo

    def fetch(self, source: Source, partial: Path, progress: Progress) -> Fetched:
        """See `WeightSource`."""
        name = address_of(source)
        if not name or name != Path(name).name:
            raise CardInvalid(f"{source.url}: write zoo://name")
        return _folder(self._zoo / name, source)


def _folder(path: Path, source: Source) -> Fetched:
    if not path.is_dir():
        raise SourceUnavailable(f"no folder {path}")
    return fetched_from(path, source, owned=False)
