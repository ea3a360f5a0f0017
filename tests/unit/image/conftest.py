"""Small diffusion models, each exported once for all tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bestiary.garden.installed import InstalledModel
from bestiary.progress import Silent
from bestiary.schemas.image import ImageChunk, PictureRequest
from deployments.image.diffusion.opening import service_of
from deployments.image.diffusion.service import DiffusionService
from deployments.image.limits import ImageLimits
from deployments.kernels.image_build import build_image_once
from deployments.kernels.image_session import ImageParts, open_parts
from deployments.turn_loop import LoopLimits
from tests.unit.image import small_pipelines

ROWS = 8
LIMITS = ImageLimits(max_pixels=128 * 128, max_images=8, max_steps=60)


@dataclass(frozen=True)
class Exported:
    model: InstalledModel
    parts: ImageParts
    home: Path


@pytest.fixture(scope="session", autouse=True)
def one_thread_in_torch() -> Iterator[None]:
    """Of child processes: small models are slowest on many."""
    patch = pytest.MonkeyPatch()
    patch.setenv("OMP_NUM_THREADS", "1")
    yield
    patch.undo()


@pytest.fixture(scope="session")
def exported(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Callable[[Path], InstalledModel]], Exported]:
    home = tmp_path_factory.mktemp("diffusion")
    known: dict[str, Exported] = {}

    def export(make: Callable[[Path], InstalledModel]) -> Exported:
        name = make.__name__
        if name not in known:
            model = make(home / name)
            folder = build_image_once(model, "fp32", home, Silent())
            known[name] = Exported(model, open_parts(folder, "fp32", threads=1), home)
        return known[name]

    return export


@pytest.fixture(scope="session")
def unconditional(exported: Any) -> Exported:
    found: Exported = exported(small_pipelines.unconditional)
    return found


@pytest.fixture(scope="session")
def text_to_image(exported: Any) -> Exported:
    found: Exported = exported(small_pipelines.in_latents)
    return found


@pytest.fixture(scope="session")
def upscaler(exported: Any) -> Exported:
    found: Exported = exported(small_pipelines.enlarging)
    return found


@asynccontextmanager
async def serving(
    one: Exported, *, rows: int = ROWS, limits: ImageLimits = LIMITS, max_requests: int = 16
) -> AsyncIterator[DiffusionService]:
    service = service_of(one.model, one.parts, None, limits, rows, LoopLimits(0.0, max_requests))
    service.start()
    try:
        yield service
    finally:
        await service.stop()


async def chunks_of(service: DiffusionService, request: PictureRequest) -> list[ImageChunk]:
    return [chunk async for chunk in service.generate_images(request)]


async def pictures_of(service: DiffusionService, request: PictureRequest) -> list[bytes]:
    """In their order."""
    chunks = await chunks_of(service, request)
    made = {chunk.index: chunk.image for chunk in chunks if chunk.image is not None}
    return [made[index].picture.data for index in sorted(made)]  # type: ignore[union-attr]


async def together(*waiting: Coroutine[Any, Any, Any]) -> list[Any]:
    return list(await asyncio.gather(*waiting))
