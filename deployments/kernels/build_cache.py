"""Builds kept by what went into them: built once, by one process, never seen half done.

    <root>/<key>/                 one build: the graph and its weights
    <root>/<key>/build.json       what, when, with which versions, how large
    <root>/<key>.lock             held while it is built

Knows nothing of what a build holds.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bestiary.errors import KernelError

MANIFEST = "build.json"
LIBRARIES = ("numpy", "onnx", "onnxruntime-gpu", "safetensors")
KEY_LENGTH = 24  # hex digits of sha256: 96 bits
LOCK_TIMEOUT_S = 1800.0  # a large model is built in minutes; waiting for ever is a hang


@dataclass(frozen=True, slots=True)
class BuildKey:
    """Everything that a build depends on."""

    kind: str  # the builder's name
    builder_version: int
    revision: str  # of the weights, as the garden names it
    precision: str
    options: tuple[tuple[str, str], ...] = ()

    @property
    def digest(self) -> str:
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


@dataclass(frozen=True, slots=True)
class Build:
    """One whole build."""

    key: BuildKey
    folder: Path
    bytes: int  # of its files


class BuildCache:
    def __init__(self, root: Path, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
        self._root = root
        self._lock_timeout_s = lock_timeout_s

    def find(self, key: BuildKey) -> Path | None:
        """The folder of a whole build, or None."""
        folder = self._root / key.digest
        return folder if _is_whole(folder) else None

    def get_or_build(self, key: BuildKey, write: Callable[[Path], None]) -> Path:
        """The folder of the build; `write` fills an empty folder where there is none yet.

        Raises KernelError where another process builds the same for too long, and
        whatever `write` raises; nothing is left behind then.
        """
        found = self.find(key)
        if found is not None:
            return found
        with self.locked(key):
            return self.find(key) or self._build(key, write)

    @contextmanager
    def locked(self, key: BuildKey) -> Iterator[None]:
        """One process at a time. Raises KernelError where another one takes too long."""
        self._root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._root / f"{key.digest}.lock", timeout=self._lock_timeout_s)
        try:
            lock.acquire()
        except Timeout as error:
            raise KernelError(
                f"another process has been building {key.kind} {key.revision} for "
                f"{self._lock_timeout_s:.0f} s"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def builds(self, kind: str, revision: str) -> tuple[Build, ...]:
        """All whole builds of these weights, whatever their precision and options."""
        whole = (folder for folder in self._root.glob("*") if _is_whole(folder))
        keyed = ((_key_of(folder), folder) for folder in whole)
        return tuple(
            Build(key, folder, sum(_sizes(folder).values()))
            for key, folder in keyed
            # One that is being written has its manifest, but not yet its name.
            if (key.kind, key.revision) == (kind, revision) and key.digest == folder.name
        )

    def _build(self, key: BuildKey, write: Callable[[Path], None]) -> Path:
        folder = self._root / key.digest
        growing = Path(tempfile.mkdtemp(prefix=f"{key.digest}.", suffix=".tmp", dir=self._root))
        try:
            write(growing)
            _write_manifest(growing, key)
            shutil.rmtree(folder, ignore_errors=True)  # one that was damaged
            growing.rename(folder)
        finally:
            shutil.rmtree(growing, ignore_errors=True)
        return folder


def precision_of(folder: Path) -> str:
    """Of the build in a folder; nothing where the folder does not say, as a test's may not."""
    try:
        return _key_of(folder).precision
    except (OSError, ValueError, KeyError):
        return ""


def kernel_cache(home: Path) -> BuildCache:
    """Where all kernels of one home are kept."""
    return BuildCache(home / "cache" / "kernels")


def _write_manifest(folder: Path, key: BuildKey) -> None:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {str(path.relative_to(folder)): path.stat().st_size for path in found}
    manifest = {
        "key": asdict(key),
        "built_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": os.uname().nodename,
        "versions": {name: version(name) for name in LIBRARIES},
        "bytes": files,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _is_whole(folder: Path) -> bool:
    """Whether every file that the manifest names is there in its full size."""
    try:
        sizes = _sizes(folder)
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


def _sizes(folder: Path) -> dict[str, int]:
    sizes: dict[str, int] = _manifest(folder)["bytes"]
    return sizes


def _key_of(folder: Path) -> BuildKey:
    """Of a whole build."""
    fields = _manifest(folder)["key"]
    return BuildKey(**fields | {"options": tuple(map(tuple, fields["options"]))})


def _manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return found
