"""Feed-forward upscalers as a service, and pictures in pieces."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import torch

from bestiary.errors import ImageTooLarge, UnsupportedParameter
from bestiary.garden import InstalledModel
from bestiary.garden.image_facts import ImageFacts
from bestiary.schemas.image import (
    Denoising,
    ImageFamily,
    SampleRequest,
    SuperResolutionRequest,
    TextPrompt,
)
from deployments.image.gan.tiles import CORE, Tiles, spans
from deployments.image.pixels import to_floats, to_pixels
from tests.unit.image.single_runs import (
    chunks_of,
    images_of,
    model_of,
    opened,
    photo,
    png,
    prepared,
    service_of,
)
from training.architectures.residual_upscaler import ResidualUpscaler, UpscalerConfig

FACTOR = 4


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory: pytest.TempPathFactory, home: Path) -> InstalledModel:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("upscaler")
    model = ResidualUpscaler(UpscalerConfig(channels=8, blocks=2, factor=FACTOR))
    torch.nn.init.normal_(model.last.weight, std=0.05)
    model.save_pretrained(folder)
    facts = ImageFacts(family=ImageFamily.GAN, width=64, height=64, scale=FACTOR)
    return prepared(model_of(folder, facts, "ResidualUpscaler"), home)


@pytest.fixture(scope="module")
def torch_upscaler(upscaler: InstalledModel) -> ResidualUpscaler:
    return ResidualUpscaler.from_pretrained(upscaler.path)


def enlarged(model: ResidualUpscaler, pixels: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return to_pixels(model(torch.from_numpy(to_floats(pixels))[None])[0].numpy())


def ask(pixels: np.ndarray, **fields: object) -> SuperResolutionRequest:
    return SuperResolutionRequest(request_id="1", image=png(pixels), **fields)


@pytest.mark.parametrize("shape", [(9, 14), (64, 80), (150, 70)])
async def test_any_size_becomes_what_the_zoo_makes_of_it(upscaler, home, torch_upscaler, shape):
    pixels = photo(3, 160)[: shape[0], : shape[1]]
    async with service_of(upscaler, home) as service:
        (made,) = await images_of(service, ask(pixels))
    found, expected = opened(made.picture.data), enlarged(torch_upscaler, pixels)
    assert found.shape == (*(FACTOR * side for side in shape), 3)
    assert np.abs(found.astype(int) - expected).max() <= 1


async def test_a_large_picture_goes_in_pieces_that_are_told(upscaler, home):
    async with service_of(upscaler, home, rows=1) as service:
        chunks = await chunks_of(service, ask(photo(1, 140)))
        assert service.counts().evaluations == 9
    assert [chunk.step for chunk in chunks] == list(range(1, 10))
    assert [chunk.image is not None for chunk in chunks] == [False] * 8 + [True]
    assert chunks[-1].image.work.evaluations == 9
    assert chunks[-1].timings.decode_s > 0


async def test_leaving_stops_after_the_piece_that_runs(upscaler, home):
    async with service_of(upscaler, home, rows=1) as service:
        chunks = service.generate_images(ask(photo(1, 250)))
        await anext(chunks)
        await chunks.aclose()
        before = service.counts()
        await images_of(service, ask(photo(2, 8)))
        after = service.counts()
    assert before.cancelled == 1
    assert after.evaluations <= before.evaluations + 2


async def test_a_picture_does_not_depend_on_its_company(upscaler, home):
    pictures = [photo(seed, side) for seed, side in enumerate((20, 20, 33, 20, 90))]
    async with service_of(upscaler, home) as service:
        alone = [(await images_of(service, ask(one)))[0].picture.data for one in pictures]
        crowd = await asyncio.gather(*(images_of(service, ask(one)) for one in pictures))
    assert [made.picture.data for (made,) in crowd] == alone


async def test_what_cannot_be_is_refused(upscaler, home):
    async with service_of(upscaler, home, max_pixels=FACTOR**2 * 400) as service:
        with pytest.raises(ImageTooLarge):
            await images_of(service, ask(photo(1, 21)))
        await images_of(service, ask(photo(1, 20)))
        for fields in (
            {"prompt": TextPrompt(text="sharper")},
            {"denoising": Denoising(steps=3)},
            {"images": 2},
            {"best_of": 2},
        ):
            with pytest.raises(UnsupportedParameter):
                await images_of(service, ask(photo(1, 8), **fields))
        with pytest.raises(UnsupportedParameter):
            await images_of(service, SampleRequest(request_id="1"))


@pytest.mark.parametrize("side", [1, 63, 64, 65, 95, 97, 128, 129, 200])
@pytest.mark.parametrize("margin", [0, 5, 16])
def test_spans_cover_a_side_once_with_their_margins(side, margin):
    found = spans(side, margin)
    assert [span.kept for span in found] == list(range(0, side, CORE))
    assert [span.until for span in found] == [*(span.kept for span in found[1:]), side]
    length = min(side, CORE + 2 * margin)
    for span in found:
        assert 0 <= span.start <= max(0, span.kept - margin)
        assert min(side, span.until + margin) <= span.start + length <= side


def test_pieces_joined_are_the_picture():
    low = np.random.default_rng(0).normal(size=(3, 130, 70)).astype(np.float32)
    tiles = Tiles(low, margin=4)
    pieces = tiles.pieces()
    assert len({piece.shape for piece in pieces}) == 1
    np.testing.assert_array_equal(tiles.joined(pieces, 1), low)
