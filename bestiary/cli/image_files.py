"""Where pictures are written: one name for each, and nothing lost by accident."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bestiary.errors import Conflict, InvalidRequest

FORMATS = {".png": "png", ".webp": "webp", ".jpg": "png", ".jpeg": "png"}  # asked of the platform


def format_of(output: Path) -> str:
    """Raises InvalidRequest for a suffix that says no format of pictures."""
    if output.suffix.lower() not in FORMATS:
        known = ", ".join(FORMATS)
        raise InvalidRequest(f"{output} has none of the suffixes {known}", "output")
    return FORMATS[output.suffix.lower()]


def numbered(output: Path, count: int) -> list[Path]:
    """The name itself for one; name-1, name-2, ... for several."""
    if count == 1:
        return [output]
    width = len(str(count))
    return [output.with_stem(f"{output.stem}-{number:0{width}}") for number in range(1, count + 1)]


def preview_of(target: Path, number: int) -> Path:
    return target.with_stem(f"{target.stem}.preview-{number}")


def make_way(targets: Iterable[Path], force: bool) -> None:
    """Before anything is asked for. Raises Conflict for a file that is there, without `force`."""
    for target in targets:
        if target.exists() and not force:
            raise Conflict(f"{target} is there already: choose another --output, or use --force")
        target.parent.mkdir(parents=True, exist_ok=True)
