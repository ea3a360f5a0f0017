"""Certifies an encoder's build: measures it beside torch, on the machine that it is for.

When that is done is `certified_once.py`'s.
"""

from __future__ import annotations

import os
from pathlib import Path

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.garden.encoder_certificate import EncoderCertificate
from bestiary.progress import Progress
from deployments.kernels.build_cache import BuildCache, BuildKey
from deployments.kernels.certificate_file import write_certificate
from deployments.kernels.certified_once import (
    certify_build_once,
    circumstances,
    still_holds,
)
from deployments.kernels.encoder_certificate_file import read_encoder_certificate
from deployments.kernels.encoder_measures import parity_of, speed_of
from deployments.kernels.encoder_probe import probe_of
from deployments.kernels.encoder_reference import reference_of
from deployments.kernels.encoder_runtime import encoder_provider, open_encoder_graph
from deployments.kernels.encoder_session import EncoderSession
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import ProviderChoice
from deployments.kernels.sessions import SessionSettings

FORMAT = 1  # counted up by whoever changes what a certificate says


def certify_encoder_once(
    model: InstalledModel,
    key: BuildKey,
    cache: BuildCache,
    choice: ProviderChoice,
    progress: Progress,
) -> None:
    """Writes the certificate of a build that is there, unless it has one that still holds.

    Raises KernelError where the build does not load.
    """
    provider = encoder_provider(key.precision, choice)
    certify_build_once(
        model,
        key,
        cache,
        progress,
        holds=lambda folder: still_holds(read_encoder_certificate(folder), FORMAT, provider),
        certify=lambda folder: write_certificate(
            folder, _measured(model, key, folder, cache, choice)
        ),
    )


def _measured(
    model: InstalledModel, key: BuildKey, folder: Path, cache: BuildCache, choice: ProviderChoice
) -> EncoderCertificate:
    parity, speed, sentences, reason = None, None, 0, ""
    graph, settings = folder / GRAPH_FILE, SessionSettings()
    encoder = EncoderSession(open_encoder_graph(graph, key.precision, choice, settings))
    try:
        probe = probe_of(model.path, min(encoder.max_length, model.card.context_length))
        speed, sentences = speed_of(encoder, probe), len(probe.sentences)
        parity = parity_of(encoder, reference_of(model, cache, encoder.outputs, encoder.pooling))
    except KernelError as error:
        reason = error.message
    return EncoderCertificate(
        **circumstances(model, key, folder, FORMAT, encoder_provider(key.precision, choice)),
        sentences=sentences,
        parity=parity,
        speed=speed,
        not_certified=reason,
        host=os.uname().nodename,
    )
