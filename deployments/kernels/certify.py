"""Certifies a decoder's build: measures it beside torch, on the machine that it is for.

When that is done is `certified_once.py`'s.
"""

from __future__ import annotations

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
from deployments.kernels.certificate_text import MOST_TOKENS
from deployments.kernels.certified_once import (
    certify_build_once,
    circumstances,
    still_holds,
)
from deployments.kernels.decoder_load import Room, cannot_run, load_alone, load_decoder
from deployments.kernels.decoder_names import Graph
from deployments.kernels.precision_choice import PROMPTS_ONLY
from deployments.kernels.providers import ProviderChoice

FORMAT = 1  # counted up by whoever changes what a certificate says
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

    Raises KernelError where the build does not load.
    """
    provider = choice.providers[0]
    certify_build_once(
        model,
        key,
        cache,
        progress,
        holds=lambda folder: still_holds(read_certificate(folder), FORMAT, provider),
        certify=lambda folder: write_certificate(
            folder, _measured(model, key, folder, cache, choice)
        ),
    )


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
        **circumstances(model, key, folder, FORMAT, choice.providers[0]),
        tokens=tokens,
        parity=parity,
        speed=speed,
        not_certified=reason,
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
