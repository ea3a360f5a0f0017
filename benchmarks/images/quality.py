"""How good is a picture after fewer steps? Against what the same seeds become after many.

PSNR to the picture of `REFERENCE_STEPS` DDIM steps (a measure of how near it is to the model's own
answer, not of beauty) and, where the model has a scorer, the mean score. Runs our engine in this
process.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.images.wire import PROMPTS
from bestiary.schemas.image import Denoising, Sampler, TextPrompt, TextToImageRequest
from deployments.image.diffusion.service import DiffusionService

REFERENCE_STEPS = 100
STEPS = (2, 4, 6, 8, 12, 20, 50)
SAMPLERS = (Sampler.DDIM, Sampler.DPM_SOLVER, Sampler.UNIPC, Sampler.EULER)
GUIDANCE = 3.0
SEEDS = 2  # of each prompt


@dataclass(frozen=True, slots=True)
class Point:
    what: str
    steps: int
    evaluations: float  # rows of the network per picture
    seconds: float  # per picture, its share of the runs
    psnr: float
    score: float | None


async def points(service: DiffusionService, fast: DiffusionService | None) -> list[Point]:
    service.start()
    reference = await _made(service, Denoising(steps=REFERENCE_STEPS, sampler=Sampler.DDIM))
    found = []
    for sampler in SAMPLERS:
        for steps in STEPS:
            made = await _made(service, Denoising(steps=steps, sampler=sampler))
            found.append(_point(sampler, steps, made, reference))
    ddim = {"steps": 50, "sampler": Sampler.DDIM}
    cheaper = {
        "ddim 50, guidance every 2nd step": {"guidance_every": 2},
        "ddim 50, guidance every 4th step": {"guidance_every": 4},
        "ddim 50, guidance on 60% of the steps": {"guidance_share": 0.6},
        "ddim 50, step cache 0.05": {"cache_threshold": 0.05},
        "ddim 50, step cache 0.1": {"cache_threshold": 0.1},
    }
    for what, options in cheaper.items():
        made = await _made(service, Denoising.model_validate(ddim | options))
        found.append(_point(what, 50, made, reference))
    if fast is not None:
        fast.start()
        for steps in (2, 4, 8):
            made = await _made(fast, Denoising(steps=steps, guidance_scale=1.0))
            found.append(_point("distilled", steps, made, reference))
    return found


def measured(service: DiffusionService, fast: DiffusionService | None) -> list[Point]:
    return asyncio.run(points(service, fast))


def plot(found: Sequence[Point], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5))
    for what in dict.fromkeys(point.what for point in found):
        own = [point for point in found if point.what == what]
        style = "o-" if len(own) > 1 else "s"
        axes.plot([one.evaluations for one in own], [one.psnr for one in own], style, label=what)
    axes.set_xscale("log")
    axes.set_xlabel("UNet evaluations per picture")
    axes.set_ylabel(f"PSNR to {REFERENCE_STEPS} DDIM steps, dB")
    axes.legend(fontsize=7)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


@dataclass(frozen=True, slots=True)
class _Made:
    pixels: NDArray[np.float64]
    evaluations: int
    seconds: float
    score: float | None


async def _made(service: DiffusionService, denoising: Denoising) -> list[_Made]:
    if denoising.guidance_scale is None:
        denoising = denoising.model_copy(update={"guidance_scale": GUIDANCE})
    found = []
    for prompt in PROMPTS:
        asked = TextToImageRequest(
            request_id="q",
            prompt=TextPrompt(text=prompt),
            seed=1,
            images=SEEDS,
            denoising=denoising,
        )
        async for chunk in service.generate_images(asked):
            if chunk.image is not None:
                image = chunk.image
                opened = Image.open(io.BytesIO(image.picture.data))
                pixels = np.asarray(opened).astype(np.float64)
                found.append(_Made(pixels, image.work.evaluations, image.work.seconds, image.score))
    return found


def _point(what: str, steps: int, made: Sequence[_Made], reference: Sequence[_Made]) -> Point:
    errors = [
        float(np.mean((one.pixels - true.pixels) ** 2))
        for one, true in zip(made, reference, strict=True)
    ]
    scores = [one.score for one in made if one.score is not None]
    return Point(
        what=what,
        steps=steps,
        evaluations=float(np.mean([one.evaluations for one in made])),
        seconds=float(np.mean([one.seconds for one in made])),
        psnr=float(10 * np.log10(255**2 / max(np.mean(errors), 1e-6))),
        score=float(np.mean(scores)) if scores else None,
    )
