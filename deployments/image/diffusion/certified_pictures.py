"""Whole pictures at fixed seeds, made over torch's networks and over a build's: how far apart?

The same engine, codec and noise scheduler run over both, so that the difference is the networks'
own, summed up over all steps. What the UNet is told beside noise (states of a prompt, a small
picture) is the build's stated input. torch's pictures are computed once for all builds of a model,
by a process of its own (this module's `__main__`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from bestiary.garden import InstalledModel
from bestiary.garden.image_certificate import PipelineParity
from bestiary.schemas.image import Sampler
from deployments.image.diffusion.codec import codec_of
from deployments.image.diffusion.course import Conditions, Course, Start
from deployments.image.diffusion.engine import DiffusionEngine, Job
from deployments.image.diffusion.guidance import GuidanceOptions
from deployments.image.diffusion.network import UNet
from deployments.image.diffusion.noise_levels import NoiseLevels
from deployments.image.diffusion.samplers import Samplers
from deployments.image.pixels import Floats
from deployments.kernels import image_names as names
from deployments.kernels.build_cache import BuildKey, kernel_cache
from deployments.kernels.image_certify import psnr
from deployments.kernels.image_components import read_json
from deployments.kernels.image_session import Array, ImageParts, Networks
from deployments.kernels.torch_process import require_memory, run_torch, torch_main

VERSION = 1
SEEDS = (11, 12)
STEPS = 10
PREFERRED = (Sampler.DDIM, Sampler.FLOW_EULER)
SCHEDULER_FILE = "scheduler/scheduler_config.json"
FILE = "pictures.npz"


def pipeline_parity(
    model: InstalledModel, build: Path, home: Path
) -> Callable[[ImageParts], PipelineParity]:
    """Of a build of the model. What it gives raises KernelError where torch cannot run it."""

    def compared(parts: ImageParts) -> PipelineParity:
        true = _torch_pictures(model, build, home)
        own = pictures(parts, model.path, build)
        return PipelineParity(
            seeds=SEEDS,
            sampler=_sampler(Samplers(read_json(model.path / SCHEDULER_FILE))),
            steps=STEPS,
            psnr=min(psnr(*pair) for pair in zip(own, true, strict=True)),
        )

    return compared


def pictures(networks: Networks, model: Path, build: Path) -> Floats:
    """[seeds, channels, height, width], -1..1."""
    config = read_json(model / SCHEDULER_FILE)
    samplers, unet, codec = Samplers(config), UNet(networks), codec_of(networks)
    engine = DiffusionEngine(unet, codec, NoiseLevels(config).denoised, rows=len(SEEDS))
    with np.load(build / names.REFERENCE_FILE) as kept:
        conditions = _stated({name: kept[name] for name in kept.files}, unet, codec.channels)
    start = Start((codec.channels, unet.height, unet.width))
    engine.submit(
        [
            Job(
                "all",
                index,
                Course(
                    seed,
                    start,
                    samplers.open(_sampler(samplers), STEPS),
                    conditions,
                    GuidanceOptions(),
                ),
            )
            for index, seed in enumerate(SEEDS)
        ]
    )
    found: dict[int, Floats] = {}
    while not engine.idle:
        for event in engine.turn():
            if event.finished is not None:
                found[event.job.index] = event.finished
    return np.stack([found[index] for index in range(len(SEEDS))])


def _sampler(samplers: Samplers) -> Sampler:
    return next((one for one in PREFERRED if one in samplers.known), samplers.known[0])


def _stated(reference: Mapping[str, Array], unet: UNet, channels: int) -> Conditions:
    def first(name: str) -> Floats | None:
        value = reference.get(f"{names.UNET}/in/{name}")
        return None if value is None else value[0].astype(np.float32)

    sample = first(names.SAMPLE)
    beside = None if sample is None or unet.in_channels == channels else sample[channels:]
    return Conditions(
        states=first(names.STATES), label=0 if unet.classes else None, channels=beside
    )


def _torch_pictures(model: InstalledModel, build: Path, home: Path) -> Floats:
    key = BuildKey(
        kind="torch-image-pictures",
        builder_version=VERSION,
        revision=model.revision,
        precision="fp32",
    )

    def compute(target: Path) -> None:
        require_memory(model)
        run_torch(__name__, model.path, target, str(build))

    with np.load(kernel_cache(home).get_or_build(key, compute) / FILE) as kept:
        found: Floats = kept["pictures"]
    return found


def _compute(model: str, target: str, build: str) -> None:
    from deployments.kernels.image_torch import TorchNetworks

    made = pictures(TorchNetworks(Path(model)), Path(model), Path(build))
    np.savez(Path(target) / FILE, pictures=made)


if __name__ == "__main__":
    torch_main(_compute)
