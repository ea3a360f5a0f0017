"""What a text-to-image job saves is a pipeline: the garden takes it and a replica serves it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from peft import PeftModel
from safetensors.torch import load_file

from bestiary.garden import Garden
from bestiary.garden.installed import InstalledModel
from bestiary.progress import Silent
from bestiary.schemas.image import Denoising, Sampler, TextPrompt, TextToImageRequest
from deployments.image.diffusion.opening import service_of
from deployments.image.limits import ImageLimits
from deployments.kernels.image_build import build_image_once
from deployments.kernels.image_session import open_parts
from deployments.turn_loop import LoopLimits
from services.tuning.trainers.image.tuner import TextToImageTuner
from tests.unit.image import small_pipelines
from tests.unit.image.small_pipelines import pixels_of
from tests.unit.tuning.small_text_to_image import (
    SIDE,
    assignment,
    read_by_an_encoder,
    trained,
)

LIMITS = ImageLimits(max_pixels=128 * 128, max_images=8, max_steps=60)
TOLERATED = 2  # of 255, as untuned models are allowed


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[InstalledModel, Path]:
    """The base, and what was saved."""
    folder = tmp_path_factory.mktemp("tuned")
    base = small_pipelines.in_latents(folder / "base")
    tuner: TextToImageTuner = trained(assignment(base, folder / "job"), 8)
    tuner.save(folder / "saved")
    return base, folder / "saved"


def installed(base: InstalledModel, saved: Path, home: Path) -> InstalledModel:
    """As the garden has it, with what the base's card says of pictures."""
    garden = Garden(home)
    garden.add(saved, card_id="ft:small-text:discs:1")
    found = garden.installed("ft:small-text:discs:1")
    card = found.card.model_copy(update={"image": base.card.image})
    return InstalledModel(card, found.path, found.revision)


def by_diffusers(folder: Path) -> np.ndarray:
    pipeline = StableDiffusionPipeline.from_pretrained(
        folder, safety_checker=None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(
        "a",
        height=SIDE,
        width=SIDE,
        num_inference_steps=5,
        guidance_scale=2.0,
        generator=torch.Generator("cpu").manual_seed(3),
        output_type="np",
    )
    return (made.images[0] * 255).round().astype(int)


async def by_a_replica(model: InstalledModel, home: Path) -> np.ndarray:
    parts = open_parts(build_image_once(model, "fp32", home, Silent()), "fp32", threads=1)
    service = service_of(model, parts, None, LIMITS, 4, LoopLimits(0.0, 4))
    asked = TextToImageRequest(
        request_id="r",
        seed=3,
        prompt=TextPrompt(text="a"),
        denoising=Denoising(steps=5, sampler=Sampler.DDIM, guidance_scale=2.0),
    )
    service.start()
    try:
        chunks = [chunk async for chunk in service.generate_images(asked)]
    finally:
        await service.stop()
    [image] = [chunk.image for chunk in chunks if chunk.image is not None]
    return pixels_of(image.picture.data).astype(int)


async def test_a_replica_serves_what_diffusers_makes_of_it_and_not_the_bases_picture(
    tuned: tuple[InstalledModel, Path], tmp_path: Path
) -> None:
    base, saved = tuned
    own = await by_a_replica(installed(base, saved, tmp_path), tmp_path)
    assert np.abs(own - by_diffusers(saved)).max() <= TOLERATED
    assert np.abs(own - by_diffusers(base.path)).max() > 10 * TOLERATED


def test_the_adapter_beside_it_is_what_was_merged(tuned: tuple[InstalledModel, Path]) -> None:
    base, saved = tuned
    unet = UNet2DConditionModel.from_pretrained(base.path / "unet").eval()
    adapted = PeftModel.from_pretrained(unet, saved / "adapter").eval()
    merged = UNet2DConditionModel.from_pretrained(saved / "unet").eval()
    draw = torch.Generator().manual_seed(1)
    given = (
        torch.randn(2, 4, 8, 8, generator=draw),
        torch.tensor([5, 900]),
        torch.randn(2, 12, 32, generator=draw),
    )
    with torch.no_grad():
        assert torch.allclose(adapted(*given).sample, merged(*given).sample, atol=1e-4)


def test_what_the_base_was_stored_in_stays_and_so_does_all_beside_the_unet(tmp_path: Path) -> None:
    base, reader = read_by_an_encoder(tmp_path)
    (base.path / "provenance.json").write_text("{}", "utf-8")
    tuner = trained(assignment(base, tmp_path / "job", beside=reader), 2)
    tuner.save(tmp_path / "saved")
    tuner.save(tmp_path / "saved")  # a trainer that was killed does it again
    files = {path.relative_to(base.path) for path in base.path.rglob("*") if path.is_file()}
    saved = tmp_path / "saved"
    kept = {path.relative_to(saved) for path in saved.rglob("*") if path.is_file()}
    assert files - kept == {Path("provenance.json")}
    merged = load_file(saved / "unet" / "diffusion_pytorch_model.safetensors")
    assert {one.dtype for one in merged.values()} == {torch.float16}
