"""Certifies a decoder's build: measures it once, beside torch, on the machine that it is for.

Done by whoever prepares a model (`bestiary setup`, `bestiary up`), never by a replica.
"""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.garden.certificate import Certificate, Speed
from bestiary.progress import Progress
from deployments.kernels.adapter_memory import AdapterLimits
from deployments.kernels.build_cache import BuildCache, BuildKey
from deployments.kernels.certificate_file import read_certificate, write_certificate
from deployments.kernels.certificate_measures import (
    PROMPT,
    Read,
    parity_of,
    prefill_speed,
    read_by_decoder,
    read_by_prompt_session,
    speed_of,
)
from deployments.kernels.certificate_reference import reference_of
from deployments.kernels.certificate_text import MOST_TOKENS, SHA256
from deployments.kernels.decoder_load import Room, cannot_run, load_alone, load_decoder
from deployments.kernels.decoder_names import Graph
from deployments.kernels.precision_choice import PROMPTS_ONLY
from deployments.kernels.providers import ProviderChoice

FORMAT = 1  # counted up by whoever changes what a certificate says
LIBRARIES = ("numpy", "onnxruntime-gpu", "tokenizers", "torch", "transformers")
MEASURES_WITH = "onnxruntime-gpu"  # another version of it may compute something else
SLOTS = 16
ONE_ADAPTER = AdapterLimits(1, 1)  # which no row has


def certify_once(
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
    if _holds(read_certificate(folder), choice):
        return
    with cache.locked(key):
        if not _holds(read_certificate(folder), choice):  # another process may have been faster
            with progress.step(f"Certifying {model.card.id} in {key.precision}"):
                write_certificate(folder, _measured(model, key, folder, cache, choice))


def processor() -> str:
    """The name of this machine's CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _holds(certificate: Certificate | None, choice: ProviderChoice) -> bool:
    return certificate is not None and (
        certificate.format,
        certificate.text_sha256,
        certificate.cpu,
        certificate.provider,
        certificate.versions.get(MEASURES_WITH),
    ) == (FORMAT, SHA256, processor(), choice.providers[0], version(MEASURES_WITH))


def _measured(
    model: InstalledModel, key: BuildKey, folder: Path, cache: BuildCache, choice: ProviderChoice
) -> Certificate:
    parity, speed, tokens, reason = None, None, 0, cannot_run(key.precision, choice)
    if not reason:
        read, speed = _opened(model, key, folder, choice)
        try:
            reference = reference_of(model, cache)
        except KernelError as error:
            reason = error.message
        else:
            parity, tokens = parity_of(read, reference), len(reference.ids)
    return Certificate(
        format=FORMAT,
        card=model.card.id,
        revision=model.revision,
        precision=key.precision,
        text_sha256=SHA256,
        tokens=tokens,
        parity=parity,
        speed=speed,
        not_certified=reason,
        bytes=sum(path.stat().st_size for path in folder.iterdir()),
        versions={name: version(name) for name in LIBRARIES},
        cpu=processor(),
        provider=choice.providers[0],
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _opened(
    model: InstalledModel, key: BuildKey, folder: Path, choice: ProviderChoice
) -> tuple[Read, Speed]:
    context = min(max(MOST_TOKENS, PROMPT), model.card.context_length)
    if key.precision == PROMPTS_ONLY:
        read = read_by_prompt_session(load_alone(folder, context))
        return read, Speed(decode_1=None, decode_16=None, prefill=prefill_speed(read, context))
    adapters = ONE_ADAPTER if "adapters" in dict(key.options) else None
    room = Room(SLOTS, context, adapters)
    decoder = load_decoder({Graph.DECODE: folder}, room, choice, threads=0)
    return read_by_decoder(decoder), speed_of(decoder)
