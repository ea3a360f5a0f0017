"""`certificate.json` beside a build: written whole, read or found unusable.

Knows the file; what is measured is `certify.py`'s, what is tolerated `tolerated.py`'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from bestiary.garden.certificate import Certificate, CertifiedBuild
from bestiary.garden.durable import write_durably
from bestiary.schemas.base import Frozen
from deployments.kernels.build_cache import kernel_cache
from deployments.kernels.decoder_names import BUILD_VERSION

CERTIFICATE_FILE = "certificate.json"

R = TypeVar("R", bound=Frozen)


def read_certificate(folder: Path) -> Certificate | None:
    """See `read_record`."""
    return read_record(folder, Certificate)


def read_record(folder: Path, kind: type[R]) -> R | None:
    """None where there is none, or one that is damaged or of an older form."""
    try:
        return kind.model_validate_json((folder / CERTIFICATE_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def write_certificate(folder: Path, certificate: Frozen) -> None:
    """Replaces the one that is there; readers see the old or the new."""
    text = certificate.model_dump_json(indent=2) + "\n"
    write_durably(folder / CERTIFICATE_FILE, text.encode())


def decoder_builds(home: Path, revision: str) -> tuple[CertifiedBuild, ...]:
    """The builds that exist of these weights, with the certificates that they have."""
    return certified_builds(home, "decoder", BUILD_VERSION, revision)


def certified_builds(
    home: Path, kind: str, version: int, revision: str
) -> tuple[CertifiedBuild, ...]:
    """`kind` and `version` of the builder."""
    found = [
        CertifiedBuild(
            precision=build.key.precision,
            options=dict(build.key.options),
            bytes=build.bytes,
            certificate=read_certificate(build.folder),
        )
        for build in kernel_cache(home).builds(kind, revision)
        if build.key.builder_version == version  # older ones are never loaded again
    ]
    return tuple(sorted(found, key=lambda build: (build.precision, sorted(build.options.items()))))
