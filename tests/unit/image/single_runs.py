"""Small random models of the rooms whose pictures are one run, opened as a replica opens them."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bestiary.garden import InstalledModel
from bestiary.garden.card import Family, ModelCard, Source
from bestiary.garden.image_facts import ImageFacts
from bestiary.garden.tasks import Task
from bestiary.profile.applications import ReplicaArgs
from bestiary.profile.models import ImageEngine, Queue, Resources, Scaling
from bestiary.progress import Silent
from bestiary.schemas.image import EncodedImage, GeneratedImage, ImageChunk, PictureRequest
from deployments.image.opening import room_of
from deployments.image.service import ImageService

Pixels = NDArray[np.uint8]


def model_of(
    folder: Path, facts: ImageFacts, architecture: str, tasks: Sequence[Task] = ()
) -> InstalledModel:
    card = ModelCard(
        id="small",
        family=Family.IMAGE,
        architecture=architecture,
        title="small",
        tasks=tuple(tasks),
        parameters=1000,
        license="none",
        provenance="random",
        sources=(Source(url=folder.as_uri()),),
        image=facts,
    )
    return InstalledModel(card=card, path=folder, revision=folder.name.ljust(64, "0"))


def args_of(model: InstalledModel, requests: int = 16, **engine: object) -> ReplicaArgs:
    return ReplicaArgs(
        deployment="small",
        card=model.card,
        resources=Resources(threads=1),
        scaling=Scaling(),
        queue=Queue(max_ongoing_requests=requests),
        image=ImageEngine(**{"precision": "fp32", "max_wait_ms": 1.0} | engine),  # type: ignore[arg-type]
    )


def prepared(model: InstalledModel, home: Path) -> InstalledModel:
    args = args_of(model)
    room_of(args).prepare(model, args, home, Silent())
    return model


@asynccontextmanager
async def service_of(
    model: InstalledModel, home: Path, requests: int = 16, **engine: object
) -> AsyncIterator[ImageService]:
    args = args_of(model, requests, **engine)
    service = room_of(args).open_service(model, args, home)
    service.start()
    try:
        yield service
    finally:
        await service.stop()


async def chunks_of(service: ImageService, request: PictureRequest) -> list[ImageChunk]:
    return [chunk async for chunk in service.generate_images(request)]


async def images_of(service: ImageService, request: PictureRequest) -> list[GeneratedImage]:
    """In the order of their indices."""
    chunks = await chunks_of(service, request)
    made = {chunk.index: chunk.image for chunk in chunks if chunk.image is not None}
    return [made[index] for index in range(request.images)]


def png(pixels: Pixels) -> EncodedImage:
    written = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(written, "PNG")
    return EncodedImage(data=written.getvalue())


def opened(data: bytes) -> Pixels:
    return np.array(Image.open(io.BytesIO(data)))


def photo(seed: int, side: int = 16) -> Pixels:
    """A smooth picture in colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return np.array(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
