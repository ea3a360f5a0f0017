"""Pictures behind URLs: files in one folder, for a while, under names that nobody can guess.

Who has the URL has the picture: it opens without a key, as clients of OpenAI's API expect. Bounded
in age and in bytes; over either the oldest go first. Gateway replicas of one machine share the
folder; replicas of several machines need one that all of them see. Blocking. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bestiary.errors import NotFound
from bestiary.schemas.image import ImageFormat, Picture

NAME_BYTES = 32  # of randomness
SWEEP_EVERY_S = 60.0
SWEEP_SHARE = 16  # looked through each time that so much of the bound was added, as 1/n
_NAME = re.compile(r"[0-9a-f]{64}\.(png|webp)")
_UNFINISHED = ".part"


@dataclass(frozen=True, slots=True)
class StoredImage:
    data: bytes
    format: ImageFormat
    remaining_s: float  # that its URL still opens


class ImageStore:
    """`folder` is made when first needed. `clock` gives seconds since the epoch, as files do."""

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        max_age_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._clock = clock
        self._added = 0  # bytes since the last sweep

    def put(self, picture: Picture) -> str:
        """Its name. The file is whole or not there, whenever this process ends."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{secrets.token_hex(NAME_BYTES)}.{picture.format.value}"
        unfinished = self._folder / (name + _UNFINISHED)
        unfinished.write_bytes(picture.data)
        now = self._clock()
        os.utime(unfinished, (now, now))
        unfinished.rename(self._folder / name)
        self._added += len(picture.data)
        if self._added > self._max_bytes // SWEEP_SHARE:
            self.sweep()
        return name

    def get(self, name: str) -> StoredImage:
        """Raises NotFound for what was never there, is too old, or is no name of ours."""
        found = _NAME.fullmatch(name)
        if found is None:
            raise _gone()
        file = self._folder / name
        try:
            remaining = self._max_age_s - (self._clock() - file.lstat().st_mtime)
            if remaining <= 0:
                raise _gone()
            return StoredImage(file.read_bytes(), ImageFormat(found.group(1)), remaining)
        except FileNotFoundError:
            raise _gone() from None

    def sweep(self) -> None:
        """Removes what is too old, then the oldest until the rest is within the bound."""
        self._added = 0
        kept = self._max_bytes
        for written, size, file in sorted(self._files(), reverse=True):
            kept -= size
            if kept < 0 or self._clock() - written >= self._max_age_s:
                file.unlink(missing_ok=True)

    async def sweep_for_ever(self) -> None:
        """Also what nobody asks for any more goes when its time comes."""
        while True:
            await asyncio.to_thread(self.sweep)
            await asyncio.sleep(SWEEP_EVERY_S)

    def _files(self) -> list[tuple[float, int, Path]]:
        """When it was written, its bytes, where it is. Only files that this class wrote."""
        found = []
        try:
            entries = list(os.scandir(self._folder))
        except FileNotFoundError:
            return []
        for entry in entries:
            if _NAME.fullmatch(entry.name.removesuffix(_UNFINISHED)) is None:
                continue
            try:
                facts = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # another replica swept it
                continue
            found.append((facts.st_mtime, facts.st_size, Path(entry.path)))
        return found


def _gone() -> NotFound:
    return NotFound(
        "there is no such picture: URLs of pictures open for a while only; "
        "ask for b64_json to get the bytes themselves, or make the picture again"
    )
