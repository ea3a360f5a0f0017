"""Certifies an encoder-decoder's build: measures it beside torch, where it is to run.

When that is done is `certified_once.py`'s.
"""

from __future__ import annotations

from pathlib import Path

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.garden.certificate import Certificate, CertifiedBuild
from bestiary.progress import Progress
from deployments.kernels.build_cache import BuildCache, BuildKey
from deployments.kernels.certificate_file import (
    certified_builds,
    read_certificate,
    write_certificate,
)
from deployments.kernels.certified_once import (
    certify_build_once,
    circumstances,
    still_holds,
)
from deployments.kernels.providers import CPU_ONLY
from deployments.kernels.seq2seq import KIND, load_seq2seq
from deployments.kernels.seq2seq_measures import parity_of, speed_of
from deployments.kernels.seq2seq_names import BUILD_VERSION
from deployments.kernels.seq2seq_reference import TARGET, seq2seq_reference_of

FORMAT = 2  # counted up by whoever changes what a certificate says
PROVIDER = CPU_ONLY.providers[0]


def certify_seq2seq_once(
    model: InstalledModel, key: BuildKey, cache: BuildCache, progress: Progress
) -> None:
    """Writes the certificate of a build that is there, unless it has one that still holds.

    Raises KernelError where the build does not load.
    """
    certify_build_once(
        model,
        key,
        cache,
        progress,
        holds=lambda folder: still_holds(read_certificate(folder), FORMAT, PROVIDER),
        certify=lambda folder: write_certificate(folder, _measured(model, key, folder, cache)),
    )


def seq2seq_builds(home: Path, revision: str) -> tuple[CertifiedBuild, ...]:
    """The builds that exist of these weights, with the certificates that they have."""
    return certified_builds(home, KIND, BUILD_VERSION, revision)


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
        **circumstances(model, key, folder, FORMAT, PROVIDER),
        tokens=tokens,
        parity=parity,
        speed=speed_of(session),
        not_certified=reason,
    )
