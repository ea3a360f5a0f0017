"""Certifies an encoder-decoder's build: measures it once, beside torch, where it is to run.

Done by whoever prepares a model (`bestiary setup`, `bestiary up`), never by a replica.
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.garden.certificate import Certificate, CertifiedBuild
from bestiary.progress import Progress
from deployments.kernels.build_cache import BuildCache, BuildKey, kernel_cache
from deployments.kernels.certificate_file import read_certificate, write_certificate
from deployments.kernels.certificate_text import SHA256
from deployments.kernels.certify import LIBRARIES, MEASURES_WITH, processor
from deployments.kernels.providers import CPU_ONLY
from deployments.kernels.seq2seq import KIND, load_seq2seq
from deployments.kernels.seq2seq_measures import parity_of, speed_of
from deployments.kernels.seq2seq_names import BUILD_VERSION
from deployments.kernels.seq2seq_reference import TARGET, seq2seq_reference_of

FORMAT = 1  # counted up by whoever changes what a certificate says
PROVIDER = CPU_ONLY.providers[0]


def certify_seq2seq_once(
    model: InstalledModel, key: BuildKey, cache: BuildCache, progress: Progress
) -> None:
    """Writes the certificate of a build that is there, unless it has one that still holds.

    One that was made with another text, processor or ONNX Runtime does not. Raises
    KernelError where the build does not load.
    """
    folder = cache.find(key)
    if folder is None:
        raise KernelError(f"there is no build of {model.card.id} in {key.precision} to certify")
    if _holds(read_certificate(folder)):
        return
    with cache.locked(key):
        if not _holds(read_certificate(folder)):  # another process may have been faster
            with progress.step(f"Certifying {model.card.id} in {key.precision}"):
                write_certificate(folder, _measured(model, key, folder, cache))


def seq2seq_builds(home: Path, revision: str) -> tuple[CertifiedBuild, ...]:
    """The builds that exist of these weights, with the certificates that they have."""
    found = [
        CertifiedBuild(
            precision=build.key.precision,
            options=dict(build.key.options),
            bytes=build.bytes,
            certificate=read_certificate(build.folder),
        )
        for build in kernel_cache(home).builds(KIND, revision)
        if build.key.builder_version == BUILD_VERSION  # older ones are never loaded again
    ]
    return tuple(sorted(found, key=lambda build: build.precision))


def _holds(certificate: Certificate | None) -> bool:
    return certificate is not None and (
        certificate.format,
        certificate.text_sha256,
        certificate.cpu,
        certificate.provider,
        certificate.versions.get(MEASURES_WITH),
    ) == (FORMAT, SHA256, processor(), PROVIDER, version(MEASURES_WITH))


def _measured(model: InstalledModel, key: BuildKey, folder: Path, cache: BuildCache) -> Certificate:
    parity, tokens, reason = None, 0, ""
    session = load_seq2seq(folder, TARGET, threads=0)
    try:
        reference = seq2seq_reference_of(model, cache)
    except KernelError as error:
        reason = error.message
    else:
        parity, tokens = parity_of(session, reference), reference.inputs.size
    return Certificate(
        format=FORMAT,
        card=model.card.id,
        revision=model.revision,
        precision=key.precision,
        text_sha256=SHA256,
        tokens=tokens,
        parity=parity,
        speed=speed_of(session),
        not_certified=reason,
        bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        versions={name: version(name) for name in LIBRARIES},
        cpu=processor(),
        provider=PROVIDER,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
