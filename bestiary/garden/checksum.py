"""SHA-256 of files, and the refusal of those that are not what their card says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from bestiary.errors import ChecksumMismatch


def sha256_of(path: Path) -> str:
    """Lower-case hex; reads in bounded blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(folder: Path) -> dict[str, str]:
    """Path relative to `folder` (with `/`) -> sha256, sorted."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(found)}


def check_sha256(expected: Mapping[str, str], found: Mapping[str, str], origin: str) -> None:
    """Raises ChecksumMismatch over every file of `expected` that is missing or differs."""
    wrong = [
        f"{path}: expected {digest}, got {found.get(path, 'no such file')}"
        for path, digest in expected.items()
        if found.get(path) != digest
    ]
    if wrong:
        raise ChecksumMismatch(f"{origin} is not what was recorded: {'; '.join(wrong)}")
