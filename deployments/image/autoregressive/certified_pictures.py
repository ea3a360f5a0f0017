"""Pictures drawn at fixed seeds, over torch's networks and over a build's: how far apart?

The same engine draws over both, code after code, so that one code that falls otherwise changes all
that follow. torch's are drawn once for all builds of a model, by a process of its own (this
module's `__main__`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bestiary.garden import InstalledModel
from bestiary.garden.image_certificate import PipelineParity
from bestiary.garden.image_facts import ImageFacts
from deployments.image.autoregressive.choosing import Choice
from deployments.image.autoregressive.codes import Codes, PixelCodes
from deployments.image.autoregressive.engine import AutoregressiveEngine, Job
from deployments.image.pixels import to_floats
from deployments.image.refusals import facts_of
from deployments.kernels import image_names as names
from deployments.kernels.build_cache import BuildKey, kernel_cache
from deployments.kernels.image_certify import psnr
from deployments.kernels.image_session import ImageParts, Networks
from deployments.kernels.torch_process import require_memory, run_torch, torch_main

VERSION = 1
SEEDS = (11, 12)
SAID = "temperature 1"
FILE = "codes.npy"


def pipeline_parity(model: InstalledModel, home: Path) -> Callable[[ImageParts], PipelineParity]:
    """What it gives raises KernelError where torch cannot run the model."""

    def compared(parts: ImageParts) -> PipelineParity:
        facts = facts_of(model.card)
        codes = _codes_of(parts, model.path, facts)
        pairs = zip(drawn(parts, model.path, facts), _torch_codes(model, home), strict=True)
        floats = ([to_floats(codes.pixels_of(one)) for one in pair] for pair in pairs)
        return PipelineParity(
            seeds=SEEDS,
            sampler=SAID,
            steps=facts.width * facts.height,
            psnr=min(psnr(own, true) for own, true in floats),
        )

    return compared


def drawn(networks: Networks, model: Path, facts: ImageFacts) -> list[Codes]:
    """One picture of any class for each seed."""
    codes = _codes_of(networks, model, facts)
    engine = AutoregressiveEngine(
        networks, facts.width * facts.height, codes.count, rows=len(SEEDS)
    )
    first = codes.first_token(None)
    engine.submit([Job("all", at, first, (), Choice(seed)) for at, seed in enumerate(SEEDS)])
    found: dict[int, Codes] = {}
    while not engine.idle:
        for event in engine.turn():
            if event.error is not None:
                raise event.error
            if event.done:
                found[event.job.index] = np.array(event.codes, np.int64)
    return [found[at] for at in range(len(SEEDS))]


def _codes_of(networks: Networks, model: Path, facts: ImageFacts) -> PixelCodes:
    return PixelCodes(model, facts, int(networks.facts(names.WRITER)["vocabulary"]))


def _torch_codes(model: InstalledModel, home: Path) -> Codes:
    facts = facts_of(model.card)
    key = BuildKey(
        kind="torch-image-codes",
        builder_version=VERSION,
        revision=model.revision,
        precision="fp32",
        options=(("size", f"{facts.width}x{facts.height}x{facts.channels}"),),
    )

    def compute(target: Path) -> None:
        require_memory(model)
        run_torch(__name__, model.path, target, facts.model_dump_json())

    found: Codes = np.load(kernel_cache(home).get_or_build(key, compute) / FILE)
    return found


def _compute(model: str, target: str, facts: str) -> None:
    from deployments.kernels.image_torch import TorchNetworks

    made = drawn(TorchNetworks(Path(model)), Path(model), ImageFacts.model_validate_json(facts))
    np.save(Path(target) / FILE, np.stack(made))


if __name__ == "__main__":
    torch_main(_compute)
