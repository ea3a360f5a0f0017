"""An installed card -> a running service: what a replica does before its first request."""

from __future__ import annotations

from pathlib import Path

from bestiary.garden import Garden, InstalledModel
from bestiary.profile.applications import ReplicaArgs
from bestiary.profile.models import EncoderEngine as EngineOptions
from bestiary.progress import Progress, Silent
from deployments.encoder.batcher import BatcherLimits
from deployments.encoder.engine import EncoderEngine
from deployments.encoder.served import served_encoder
from deployments.encoder.service import EncoderService
from deployments.encoder.tokenization import load_tokenizer
from deployments.kernels.encoder import open_encoder, prepare_encoder_kernel


def prepare_encoder(args: ReplicaArgs, home: Path, progress: Progress) -> InstalledModel:
    """Installs the card, builds its graph and certifies it: a replica's start is only a load.

    Raises GardenError, CardNotInstalled and KernelError.
    """
    model = Garden(home).install(args.card.id, progress)
    prepare_encoder_kernel(model, engine_options(args), home, progress)
    return model


def open_service(args: ReplicaArgs, home: Path) -> EncoderService:
    """Raises CardNotInstalled where `prepare_encoder` was not run before, and KernelError."""
    options = engine_options(args)
    model = Garden(home).installed(args.card.id)
    encoder = open_encoder(model, options, args.resources.threads, home, Silent())
    longest = min(encoder.session.max_length, model.card.context_length)
    return EncoderService(
        load_tokenizer(model.path, longest),
        EncoderEngine(encoder, options.max_batch_tokens),
        served_encoder(model.card, encoder.session),
        BatcherLimits(
            max_batch_tokens=options.max_batch_tokens,
            max_wait_s=options.max_wait_ms / 1e3,
            max_requests=args.queue.max_ongoing_requests,
        ),
    )


def engine_options(args: ReplicaArgs) -> EngineOptions:
    """The profile's encoder section, with its defaults where there is none."""
    return args.encoder or EngineOptions()
