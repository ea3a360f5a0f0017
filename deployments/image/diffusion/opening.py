"""An installed diffusion card -> a running service: what is done before its first request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from bestiary.errors import KernelError
from bestiary.garden import Garden, InstalledModel
from bestiary.profile.applications import ReplicaArgs
from bestiary.profile.models import EncoderEngine
from bestiary.progress import Progress, Silent
from deployments.image.diffusion.certified_pictures import pipeline_parity
from deployments.image.diffusion.codec import Codec, codec_of
from deployments.image.diffusion.engine import DiffusionEngine
from deployments.image.diffusion.network import UNet
from deployments.image.diffusion.noise_levels import NoiseLevels
from deployments.image.diffusion.prompts import (
    ClipReader,
    EncoderReader,
    PromptStates,
    clip_tokenizer,
    encoder_tokenizer,
)
from deployments.image.diffusion.samplers import Samplers
from deployments.image.diffusion.scoring import TextScorer
from deployments.image.diffusion.served import Enlarging, Scorer, ServedModel
from deployments.image.diffusion.service import DiffusionService
from deployments.image.limits import ImageLimits, limits_of
from deployments.image.opening import engine_options, kernels_of
from deployments.kernels import image_names as names
from deployments.kernels.encoder import OpenEncoder, open_encoder, prepare_encoder_kernel
from deployments.kernels.image_build import build_image_once
from deployments.kernels.image_certify import certify_image_once
from deployments.kernels.image_components import read_json
from deployments.kernels.image_session import Networks, open_parts
from deployments.kernels.image_tolerated import require_tolerated
from deployments.turn_loop import LoopLimits

SCHEDULER_FILE = "scheduler/scheduler_config.json"
CONDITIONING_FILE = "conditioning.json"
ENLARGING_FILE = "super_resolution.json"
TOKENIZER_FOLDER = "tokenizer"
UPSCALE_NOISE_LEVEL = 20  # StableDiffusionUpscalePipeline's


def prepare(model: InstalledModel, args: ReplicaArgs, home: Path, progress: Progress) -> None:
    """Builds and certifies the graphs, and those of the encoder that reads prompts."""
    kernels = kernels_of(args)
    folder = build_image_once(model, kernels.precision, home, progress)
    pipeline = pipeline_parity(model, folder, home)
    certify_image_once(model, kernels.precision, home, progress, pipeline, kernels.providers)
    require_tolerated(model, kernels.precision, home)
    encoder = model.card.image.text_encoder if model.card.image else None
    if encoder is not None:
        reader = Garden(home).install(encoder, progress)
        prepare_encoder_kernel(reader, EncoderEngine(), home, progress)


def open_service(model: InstalledModel, args: ReplicaArgs, home: Path) -> DiffusionService:
    """Raises CardNotInstalled where `prepare` was not run before, and KernelError."""
    torch.set_num_threads(1)  # it steps small pictures; ONNX Runtime has the cores
    options = engine_options(args)
    kernels = kernels_of(args)
    folder = build_image_once(model, kernels.precision, home, Silent())
    require_tolerated(model, kernels.precision, home)
    networks = open_parts(folder, kernels.precision, args.resources.threads, kernels.providers)
    encoder = _encoder(model, args.resources.threads, home)
    limits = LoopLimits(options.max_wait_ms / 1e3, args.queue.max_ongoing_requests)
    return service_of(model, networks, encoder, limits_of(options), options.rows, limits)


def service_of(
    model: InstalledModel,
    networks: Networks,
    encoder: tuple[InstalledModel, OpenEncoder] | None,
    limits: ImageLimits,
    rows: int,
    loop_limits: LoopLimits,
) -> DiffusionService:
    """A service of open networks. Raises KernelError for a folder that says too little."""
    facts = model.card.image
    assert facts is not None
    config = read_json(model.path / SCHEDULER_FILE)
    codec, unet, levels = codec_of(networks), UNet(networks), NoiseLevels(config)
    served = ServedModel(
        card=model.card,
        revision=model.revision,
        facts=facts,
        unet=unet,
        codec=codec,
        samplers=Samplers(config),
        levels=levels,
        limits=limits,
        prompts=_prompts(model, networks, unet, encoder),
        enlarging=_enlarging(model, unet, codec),
        scorer=_scorer(networks, encoder),
    )
    engine = DiffusionEngine(unet, codec, levels.denoised, rows)
    return DiffusionService(served, engine, loop_limits)


def _encoder(
    model: InstalledModel, threads: int, home: Path
) -> tuple[InstalledModel, OpenEncoder] | None:
    named = model.card.image.text_encoder if model.card.image else None
    if named is None:
        return None
    reader = Garden(home).installed(named)
    return reader, open_encoder(reader, EncoderEngine(), threads, home, Silent())


def _prompts(
    model: InstalledModel,
    networks: Networks,
    unet: UNet,
    encoder: tuple[InstalledModel, OpenEncoder] | None,
) -> PromptStates | None:
    if not unet.states:
        return None
    if encoder is not None:
        length = _max_tokens(model)
        tokenizer = encoder_tokenizer(encoder[0].path, length)
        return PromptStates(EncoderReader(tokenizer, encoder[1], length))
    if networks.has(names.TEXT_ENCODER):
        length = int(networks.facts(names.TEXT_ENCODER)["positions"])
        return PromptStates(
            ClipReader(clip_tokenizer(model.path / TOKENIZER_FOLDER, length), networks)
        )
    raise KernelError(
        f"{model.card.id} follows prompts, but its card names no text_encoder and its folder "
        "holds none"
    )


def _max_tokens(model: InstalledModel) -> int:
    path = model.path / CONDITIONING_FILE
    said: dict[str, Any] = read_json(path) if path.is_file() else {}
    return int(said.get("max_tokens", model.card.context_length))


def _enlarging(model: InstalledModel, unet: UNet, codec: Codec) -> Enlarging | None:
    path = model.path / ENLARGING_FILE
    if path.is_file():
        said = read_json(path)
        return Enlarging(int(said["factor"]), float(said["residual_scale"]), None)
    scale = model.card.image.scale if model.card.image else None
    if scale is None or unet.in_channels <= codec.channels:
        return None
    return Enlarging(scale, None, UPSCALE_NOISE_LEVEL if unet.classes else None)


def _scorer(
    networks: Networks, encoder: tuple[InstalledModel, OpenEncoder] | None
) -> Scorer | None:
    if encoder is None or not networks.has(names.SCORER):
        return None
    longest = encoder[1].session.max_length
    return TextScorer(networks, encoder[1], encoder_tokenizer(encoder[0].path, longest))
