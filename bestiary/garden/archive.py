"""Named files out of a wheel, which is a zip file from a stranger. Never runs what is in it."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bestiary.errors import UnsafeArchive

MAX_MEMBERS = 20_000
MAX_UNPACKED = 64 * 1024**3  # bytes
_BLOCK = 1 << 20  # bytes


def unpack(
    archive: Path,
    wanted: Callable[[str], bool],
    into: Path,
    *,
    max_unpacked: int = MAX_UNPACKED,
) -> tuple[str, ...]:
    """Writes the members for which `wanted(name)` holds under `into`; returns their names.

    Raises UnsafeArchive for an archive in which any member, wanted or not, has an absolute
    path, `..`, a backslash, a symlink or a second occurrence, or that unpacks to too much.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            check_members(archive.name, members, max_unpacked)
            taken = [one for one in members if not one.is_dir() and wanted(one.filename)]
            for member in taken:
                _extract(opened, member, into / member.filename)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError) as error:
        raise UnsafeArchive(f"{archive.name} is not a readable zip file: {error}") from error
    return tuple(member.filename for member in taken)


def check_members(archive: str, members: Sequence[zipfile.ZipInfo], max_unpacked: int) -> None:
    """`archive` is what an error calls it. Raises UnsafeArchive as `unpack` does."""
    if len(members) > MAX_MEMBERS:
        raise UnsafeArchive(f"{archive} has {len(members)} members; the limit: {MAX_MEMBERS}")
    total = sum(member.file_size for member in members)
    if total > max_unpacked:
        raise UnsafeArchive(f"{archive} unpacks to {total} bytes; the limit: {max_unpacked}")
    seen: set[str] = set()
    for member in members:
        fault = _fault(member, seen)
        if fault:
            raise UnsafeArchive(f"{archive}: member {member.filename!r} {fault}")
        seen.add(member.filename)


def _fault(member: zipfile.ZipInfo, seen: set[str]) -> str | None:
    # `orig_filename` is the name before zipfile cut it at a NUL or turned separators round.
    if not is_plain_path(member.orig_filename):
        return "is not a plain relative path"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a symbolic link"
    if member.flag_bits & 0x1:
        return "is encrypted"
    if member.filename in seen:
        return "is there twice"
    return None


def is_plain_path(path: str) -> bool:
    """Whether a name from outside, joined to a folder, stays in that folder on every system."""
    parts = path.removesuffix("/").split("/")
    return all(parts) and not {".", ".."} & set(parts) and not set(path) & set("\\:\0")


def _extract(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # zipfile stops at the declared size and checks the CRC, so the bound above holds.
    with opened.open(member) as packed, target.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked, _BLOCK)
