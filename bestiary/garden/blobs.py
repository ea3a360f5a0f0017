"""Downloaded archives by their sha256: an archive that is there is whole and is what it says."""

from __future__ import annotations

from pathlib import Path

from bestiary.errors import ChecksumMismatch
from bestiary.garden.checksum import sha256_of
from bestiary.garden.durable import sync_folder


class Blobs:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, sha256: str) -> Path | None:
        """Checked again on every use: a damaged blob is dropped, not served."""
        path = self._folder / sha256
        if not path.exists():
            return None
        if sha256_of(path) == sha256:
            return path
        path.unlink(missing_ok=True)
        return None

    def keep(self, path: Path, sha256: str, origin: str) -> Path:
        """Moves `path` in. Raises ChecksumMismatch and deletes it where it is something else."""
        found = sha256_of(path)
        if found != sha256:
            path.unlink()
            raise ChecksumMismatch(f"{origin}: expected sha256 {sha256}, got {found}; deleted")
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = self._folder / sha256
        path.replace(kept)
        sync_folder(self._folder)
        return kept

    def drop(self, sha256: str) -> None:
        (self._folder / sha256).unlink(missing_ok=True)
