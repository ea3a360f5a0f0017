"""Our engine behind a plain FastAPI, the same front as the peers'. All models in one process.

python -m benchmarks.images.engine_worker PORT SCRATCH PRECISION
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Annotated, Any

import torch
import uvicorn
from fastapi import Body, FastAPI, Response

from benchmarks.images.models import ENCODER, ENLARGING, TEXT, UNCONDITIONAL, BenchmarkModel, models
from benchmarks.images.wire import Wish
from bestiary.garden import Garden
from bestiary.profile.models import EncoderEngine
from bestiary.progress import Silent
from bestiary.schemas.image import (
    Denoising,
    EncodedImage,
    ImageToImageRequest,
    InpaintRequest,
    PictureRequest,
    Sampler,
    SampleRequest,
    SuperResolutionRequest,
    TextPrompt,
    TextToImageRequest,
)
from bestiary.settings import Settings
from deployments.image.diffusion.opening import service_of
from deployments.image.diffusion.service import DiffusionService
from deployments.image.limits import ImageLimits
from deployments.kernels.encoder import open_encoder, prepare_encoder_kernel
from deployments.kernels.image_build import build_image_once
from deployments.kernels.image_runtime import image_precision
from deployments.kernels.image_session import open_parts
from deployments.kernels.providers import CPU_ONLY
from deployments.turn_loop import LoopLimits

LIMITS = ImageLimits(max_pixels=1024 * 1024, max_images=64, max_steps=1000)
ROWS = 32
STRENGTH = 0.8
CARDS = {"unconditional": UNCONDITIONAL, "super-resolution": ENLARGING}

app = FastAPI()
services: dict[str, DiffusionService] = {}


def service(one: BenchmarkModel, precision: str) -> DiffusionService:
    home = Settings().home
    precision = image_precision(precision, CPU_ONLY)
    folder = build_image_once(one.model, precision, home, Silent())
    encoder = None
    facts = one.model.card.image
    if facts is not None and facts.text_encoder is not None:
        reader = Garden(home).install(ENCODER)
        prepare_encoder_kernel(reader, EncoderEngine(), home, Silent())
        encoder = (reader, open_encoder(reader, EncoderEngine(), 0, home, Silent()))
    networks = open_parts(folder, precision, threads=0)
    return service_of(one.model, networks, encoder, LIMITS, ROWS, LoopLimits(0.002, 256))


def request_of(wish: Wish) -> PictureRequest:
    denoising = Denoising(steps=wish.steps, sampler=Sampler.DDIM, guidance_scale=wish.guidance)
    shared = {"request_id": "b", "seed": wish.seed, "denoising": denoising}
    prompt = TextPrompt(text=wish.prompt)
    image = EncodedImage(data=base64.b64decode(wish.image) or b"-")
    if wish.task == "unconditional":
        return SampleRequest.model_validate(shared)
    if wish.task == "text-to-image":
        return TextToImageRequest.model_validate(shared | {"prompt": prompt})
    if wish.task == "image-to-image":
        given = {"prompt": prompt, "image": image, "strength": STRENGTH}
        return ImageToImageRequest.model_validate(shared | given)
    if wish.task == "inpainting":
        mask = EncodedImage(data=base64.b64decode(wish.mask))
        given = {"prompt": prompt, "image": image, "mask": mask}
        return InpaintRequest.model_validate(shared | given)
    return SuperResolutionRequest.model_validate(shared | {"image": image})


@app.post("/make")
async def make(wish: Annotated[dict[str, Any], Body()]) -> Response:
    asked = Wish(**wish)
    one = services[CARDS.get(asked.task, TEXT)]
    one.start()
    picture = b""
    async for chunk in one.generate_images(request_of(asked)):
        if chunk.image is not None:
            picture = chunk.image.picture.data
    return Response(picture, media_type="image/png")


@app.get("/ready")
def ready() -> str:
    return "yes"


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, found in models(Settings().home, Path(sys.argv[2])).items():
        services[name] = service(found, sys.argv[3])
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
