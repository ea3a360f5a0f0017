"""When a build is measured, and what every certificate says of where that was done.

Once, by whoever prepares a model (`bestiary setup`, `bestiary up`), never by a replica; again
for another text, processor, provider or ONNX Runtime. Knows no family: what is measured,
and what the record holds of it, is `certify.py`'s, `encoder_certify.py`'s, `seq2seq_certify.py`'s.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Protocol, TypedDict

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.progress import Progress
from deployments.kernels.build_cache import BuildCache, BuildKey
from deployments.kernels.certificate_text import SHA256

LIBRARIES = ("numpy", "onnxruntime-gpu", "tokenizers", "torch", "transformers")
MEASURES_WITH = "onnxruntime-gpu"  # another version of it may compute something else


class Record(Protocol):
    """What all certificates have, by which it is known whether one still holds."""

    @property
    def format(self) -> int: ...

    @property
    def text_sha256(self) -> str: ...

    @property
    def cpu(self) -> str: ...

    @property
    def provider(self) -> str: ...

    @property
    def versions(self) -> Mapping[str, str]: ...


class Circumstances(TypedDict):
    """Fields of a certificate: of which build it is, and where and with what it was made."""

    format: int
    card: str
    revision: str
    precision: str
    text_sha256: str
    bytes: int
    versions: dict[str, str]
    cpu: str
    provider: str
    made_at: str


def certify_build_once(
    model: InstalledModel,
    key: BuildKey,
    cache: BuildCache,
    progress: Progress,
    *,
    holds: Callable[[Path], bool],
    certify: Callable[[Path], None],
) -> None:
    """Has `certify` write the certificate of a build that is there, unless it has one that `holds`.

    Raises KernelError where there is no build, and whatever `certify` raises.
    """
    folder = cache.find(key)
    if folder is None:
        raise KernelError(f"there is no build of {model.card.id} in {key.precision} to certify")
    if holds(folder):
        return
    with cache.locked(key):
        if not holds(folder):  # another process may have been faster
            with progress.step(f"Certifying {model.card.id} in {key.precision}"):
                certify(folder)


def still_holds(record: Record | None, format: int, provider: str) -> bool:
    """Whether it was made here, as it would be made now."""
    return record is not None and (
        record.format,
        record.text_sha256,
        record.cpu,
        record.provider,
        record.versions.get(MEASURES_WITH),
    ) == (format, SHA256, processor(), provider, version(MEASURES_WITH))


def circumstances(
    model: InstalledModel, key: BuildKey, folder: Path, format: int, provider: str
) -> Circumstances:
    return Circumstances(
        format=format,
        card=model.card.id,
        revision=model.revision,
        precision=key.precision,
        text_sha256=SHA256,
        bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        versions={name: version(name) for name in LIBRARIES},
        cpu=processor(),
        provider=provider,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def processor() -> str:
    """The name of this machine's CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
