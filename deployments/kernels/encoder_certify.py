"""Certifies an encoder's build: measures it once, beside torch, on the machine that it is for.

Done by whoever prepares a model (`bestiary setup`, `bestiary up`), never by a replica.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.garden.encoder_certificate import EncoderCertificate
from bestiary.progress import Progress
from deployments.kernels.build_cache import BuildCache, BuildKey
from deployments.kernels.certificate_text import SHA256
from deployments.kernels.certify import processor
from deployments.kernels.encoder_certificate_file import (
    read_encoder_certificate,
    write_encoder_certificate,
)
from deployments.kernels.encoder_measures import parity_of, speed_of
from deployments.kernels.encoder_probe import probe_of
from deployments.kernels.encoder_reference import reference_of
from deployments.kernels.encoder_session import EncoderSession
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import ProviderChoice
from deployments.kernels.sessions import SessionSettings, open_session

FORMAT = 1  # counted up by whoever changes what a certificate says
LIBRARIES = ("numpy", "onnxruntime-gpu", "tokenizers", "torch", "transformers")
MEASURES_WITH = "onnxruntime-gpu"  # another version of it may compute something else


def certify_encoder_once(
    model: InstalledModel,
    key: BuildKey,
    cache: BuildCache,
    choice: ProviderChoice,
    progress: Progress,
) -> None:
    """Writes the certificate of a build that is there, unless it has one that still holds.

    One that was made with another text, processor, provider or ONNX Runtime does not.
    Raises KernelError where the build does not load.
    """
    folder = cache.find(key)
    if folder is None:
        raise KernelError(f"there is no build of {model.card.id} in {key.precision} to certify")
    if _holds(read_encoder_certificate(folder), choice):
        return
    with cache.locked(key):
        if not _holds(read_encoder_certificate(folder), choice):  # another process was faster
            with progress.step(f"Certifying {model.card.id} in {key.precision}"):
                found = _measured(model, key, folder, cache, choice)
                write_encoder_certificate(folder, found)


def _holds(certificate: EncoderCertificate | None, choice: ProviderChoice) -> bool:
    return certificate is not None and (
        certificate.format,
        certificate.text_sha256,
        certificate.cpu,
        certificate.provider,
        certificate.versions.get(MEASURES_WITH),
    ) == (FORMAT, SHA256, processor(), choice.providers[0], version(MEASURES_WITH))


def _measured(
    model: InstalledModel, key: BuildKey, folder: Path, cache: BuildCache, choice: ProviderChoice
) -> EncoderCertificate:
    parity, speed, sentences, reason = None, None, 0, ""
    encoder = EncoderSession(open_session(folder / GRAPH_FILE, choice, SessionSettings()))
    try:
        probe = probe_of(model.path, min(encoder.max_length, model.card.context_length))
        speed, sentences = speed_of(encoder, probe), len(probe.sentences)
        parity = parity_of(encoder, reference_of(model, cache, encoder.outputs, encoder.pooling))
    except KernelError as error:
        reason = error.message
    return EncoderCertificate(
        format=FORMAT,
        card=model.card.id,
        revision=model.revision,
        precision=key.precision,
        text_sha256=SHA256,
        sentences=sentences,
        parity=parity,
        speed=speed,
        not_certified=reason,
        bytes=sum(path.stat().st_size for path in folder.iterdir()),
        versions={name: version(name) for name in LIBRARIES},
        cpu=processor(),
        provider=choice.providers[0],
        host=os.uname().nodename,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
