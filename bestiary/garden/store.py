"""Where installed models lie on the disk, and how they get there whole or not at all.

    home/models/<card>/current            the name of the folder that is served
    home/models/<card>/<revision>/        one installed folder
    home/staging/<card>/<random>/         being written; swept by the card's next install
    home/cache/blobs/<sha256>             downloaded archives
    home/cache/partial/<card>/<recipe>/   downloads that a next install resumes
    home/locks/<card>.lock                held while a card is installed or removed

Knows nothing of where weights come from.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout
from pydantic import ValidationError

from bestiary.errors import GardenError
from bestiary.garden.card import ModelCard
from bestiary.garden.checksum import check_sha256, sha256_of_files
from bestiary.garden.durable import sync_folder, sync_tree, write_durably
from bestiary.garden.installed import PROVENANCE, InstalledModel, Provenance, recipe_of

LOCK_DEADLINE_S = 3600.0
_POINTER = "current"
_FOLDER_NAME = 16  # hex digits of the revision


class Store:
    def __init__(self, home: Path, *, lock_deadline_s: float = LOCK_DEADLINE_S) -> None:
        self._home = home
        self._lock_deadline_s = lock_deadline_s

    def find(self, card: ModelCard) -> InstalledModel | None:
        """The card's folder, if it is whole and made from one of the card's present sources.

        Compares sizes, not contents (`verify` does).
        """
        folder = self._current(card.id)
        if folder is None:
            return None
        try:
            provenance = Provenance.model_validate_json((folder / PROVENANCE).read_bytes())
        except (OSError, ValidationError):
            return None  # damaged: an install puts it right
        if provenance.recipe not in {recipe_of(source) for source in card.sources}:
            return None
        if not all(_has_size(folder / path, one.size) for path, one in provenance.files.items()):
            return None
        return InstalledModel(card=card, path=folder, revision=provenance.revision)

    @contextmanager
    def locked(self, card_id: str) -> Iterator[None]:
        """One process at a time per card; the kernel frees the lock of a killed one."""
        path = self._home / "locks" / f"{_folder_name(card_id)}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, fallback_to_soft=False, preserve_lock_file=True)
        try:
            lock.acquire(timeout=self._lock_deadline_s)
        except Timeout as error:
            raise GardenError(
                f"{card_id} has been locked by another install for {self._lock_deadline_s:.0f} s "
                f"({path})"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def partial(self, card_id: str, recipe: str) -> Path:
        """Where a source downloads to; kept after a failure, so that the next try resumes."""
        folder = self._home / "cache" / "partial" / _folder_name(card_id) / recipe[:_FOLDER_NAME]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def staging(self, card_id: str) -> Iterator[Path]:
        """An empty folder on the models' file system; gone afterwards unless published.

        Sweeps what killed installs left. Call it under the card's lock.
        """
        parent = self._home / "staging" / _folder_name(card_id)
        shutil.rmtree(parent, ignore_errors=True)
        parent.mkdir(parents=True)
        folder = Path(tempfile.mkdtemp(dir=parent))
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            shutil.rmtree(parent, ignore_errors=True)

    def publish(self, card: ModelCard, staged: Path, provenance: Provenance) -> InstalledModel:
        """Makes a complete staged folder the one that is served. Call it under the card's lock."""
        write_durably(staged / PROVENANCE, provenance.model_dump_json(indent=1).encode())
        sync_tree(staged)
        models = self._models(card.id)
        models.mkdir(parents=True, exist_ok=True)
        folder = models / provenance.revision[:_FOLDER_NAME]
        if folder.exists():  # left by a process that was killed before the pointer was written
            shutil.rmtree(folder)
        staged.rename(folder)
        sync_folder(models)
        write_durably(models / _POINTER, folder.name.encode())
        self._sweep(card.id, folder)
        return InstalledModel(card=card, path=folder, revision=provenance.revision)

    def verify(self, model: InstalledModel) -> None:
        """Raises ChecksumMismatch where a file is no longer what was installed."""
        expected = {path: file.sha256 for path, file in model.provenance().files.items()}
        check_sha256(expected, sha256_of_files(model.path), f"{model.card.id} in {model.path}")

    def remove(self, card_id: str) -> bool:
        """Deletes what is installed or half downloaded; False where there was nothing."""
        models = self._models(card_id)
        partial = self._home / "cache" / "partial" / _folder_name(card_id)
        there = models.exists() or partial.exists()
        if models.exists():
            (models / _POINTER).unlink(missing_ok=True)  # first, so that no reader finds a torso
            sync_folder(models)
            shutil.rmtree(models)
        shutil.rmtree(partial, ignore_errors=True)
        return there

    def _sweep(self, card_id: str, served: Path) -> None:
        """Older folders go; who has their files mapped keeps them until it closes them."""
        for path in self._models(card_id).iterdir():
            if path.is_dir() and path != served:
                shutil.rmtree(path)
        shutil.rmtree(self._home / "cache" / "partial" / _folder_name(card_id), ignore_errors=True)

    def _current(self, card_id: str) -> Path | None:
        models = self._models(card_id)
        try:
            return models / (models / _POINTER).read_text()
        except FileNotFoundError:
            return None

    def _models(self, card_id: str) -> Path:
        return self._home / "models" / _folder_name(card_id)


def _folder_name(card_id: str) -> str:
    return quote(card_id, safe="")


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False
