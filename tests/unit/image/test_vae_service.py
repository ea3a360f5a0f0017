"""A VAE as a service: the whole path but for Ray, against diffusers in torch."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.numpy import save_file

from bestiary.errors import (
    DeadlineExceeded,
    ImageTooLarge,
    ImageUnreadable,
    InvalidRequest,
    Overloaded,
    UnsupportedParameter,
)
from bestiary.garden import InstalledModel
from bestiary.garden.image_facts import ImageFacts
from bestiary.schemas.image import (
    DecodeRequest,
    DiscriminateRequest,
    EncodedImage,
    EncodeRequest,
    ImageFamily,
    InterpolateRequest,
    Latents,
    ReconstructRequest,
    SampleRequest,
    VariationRequest,
)
from deployments.image.pixels import to_floats, to_pixels
from tests.unit.image.single_runs import (
    images_of,
    model_of,
    opened,
    photo,
    png,
    prepared,
    service_of,
)

SIDE, CHANNELS, PLACES = 16, 3, 8  # two halvings would leave 4; this one has one
SIZE = CHANNELS * PLACES * PLACES
SCALING = 0.5


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory, home: Path) -> InstalledModel:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("vae")
    AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=4,
        sample_size=SIDE,
        scaling_factor=SCALING,
    ).save_pretrained(folder)
    random = np.random.default_rng(0)
    prior = {
        "mean": random.normal(size=SIZE),
        "components": random.normal(size=(5, SIZE)) * 0.5,
        "residual": np.full(SIZE, 0.2),
    }
    save_file(
        {name: value.astype(np.float16) for name, value in prior.items()},
        folder / "latent_prior.safetensors",
    )
    facts = ImageFacts(
        family=ImageFamily.VAE, width=SIDE, height=SIDE, latent_shape=(CHANNELS, PLACES, PLACES)
    )
    return prepared(model_of(folder, facts, "AutoencoderKL"), home)


@pytest.fixture(scope="module")
def torch_vae(vae: InstalledModel) -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(vae.path).eval()


def latents(*values: np.ndarray) -> Latents:
    stacked = np.stack(values).astype("<f4")
    return Latents(shape=stacked.shape, data=stacked.tobytes())


async def test_latents_are_diffusers_scaled(vae, home, torch_vae):
    pictures = [photo(seed) for seed in range(3)]
    async with service_of(vae, home) as service:
        request = EncodeRequest(request_id="1", images=tuple(map(png, pictures)))
        found = await service.encode_image(request)
    given = torch.from_numpy(np.stack([to_floats(one) for one in pictures]))
    with torch.no_grad():
        expected = torch_vae.encode(given).latent_dist.mean * SCALING
    np.testing.assert_allclose(found.latents, expected.numpy(), atol=1e-4)
    assert found.timings.prefill_s > 0
    assert found.timings.decode_s == 0


async def test_a_seeded_latent_is_drawn_around_the_mean(vae, home, torch_vae):
    given = (png(photo(1)), png(photo(1)))
    async with service_of(vae, home) as service:
        mean = (await service.encode_image(EncodeRequest(request_id="1", images=given))).latents
        drawn = [
            (await service.encode_image(EncodeRequest(request_id="1", images=given, seed=seed)))
            for seed in (7, 7, 8)
        ]
    np.testing.assert_array_equal(drawn[0].latents, drawn[1].latents)
    assert np.array_equal(drawn[0].latents[1], drawn[2].latents[0])  # seeds run on
    with torch.no_grad():
        spread = torch_vae.encode(torch.from_numpy(to_floats(photo(1)))[None]).latent_dist.std
    far = np.abs(drawn[0].latents - mean) / (spread.numpy() * SCALING)
    assert 0.5 < far.mean() < 1.1  # 0.8 of a normal distribution
    assert far.max() < 6


async def test_decoding_is_diffusers(vae, home, torch_vae):
    random = np.random.default_rng(3)
    given = [random.normal(size=(CHANNELS, PLACES, PLACES)).astype(np.float32) for _ in range(3)]
    async with service_of(vae, home) as service:
        found = await service.decode_image(DecodeRequest(request_id="1", latents=latents(*given)))
    with torch.no_grad():
        expected = torch_vae.decode(torch.from_numpy(np.stack(given)) / SCALING).sample.numpy()
    for picture, floats in zip(found.pictures, expected, strict=True):
        assert np.abs(opened(picture.data).astype(int) - to_pixels(floats)).max() <= 1


async def test_what_was_lost_is_told_of_the_file_that_is_handed_out(vae, home):
    given = photo(5)
    async with service_of(vae, home) as service:
        result = await service.reconstruct(ReconstructRequest(request_id="1", images=(png(given),)))
    (found,) = result.images
    error = (opened(found.picture.data) / 255.0 - given / 255.0) ** 2
    assert found.mse == pytest.approx(error.mean())
    assert found.psnr == pytest.approx(-10 * np.log10(error.mean()))
    assert -1 <= found.ssim < 1


async def test_interpolation_goes_from_one_reconstruction_to_the_other(vae, home):
    ends = png(photo(1)), png(photo(2))
    async with service_of(vae, home) as service:
        way = await service.interpolate(InterpolateRequest(request_id="1", images=ends, frames=5))
        made = await service.reconstruct(ReconstructRequest(request_id="2", images=ends))
    frames = [opened(one.data).astype(float) for one in way.pictures]
    np.testing.assert_array_equal(frames[0], opened(made.images[0].picture.data))
    np.testing.assert_array_equal(frames[-1], opened(made.images[1].picture.data))
    from_start = [np.abs(frame - frames[0]).mean() for frame in frames]
    assert from_start == sorted(from_start)


async def test_a_sample_is_the_decoder_of_the_prior(vae, home):
    async with service_of(vae, home) as service:
        (cold, same), (warm, other) = [
            await images_of(
                service,
                SampleRequest(request_id="1", images=2, seed=3, temperature=temperature),
            )
            for temperature in (0.0, 1.0)
        ]
    assert opened(cold.picture.data).tolist() == opened(same.picture.data).tolist()  # the mean
    assert opened(warm.picture.data).tolist() != opened(other.picture.data).tolist()
    assert (warm.seed, other.seed) == (3, 4)
    assert (warm.work.evaluations, warm.work.steps) == (1, 1)
    assert warm.work.seconds > 0


async def test_variations_leave_the_picture_by_their_strength(vae, home):
    given = photo(4)
    async with service_of(vae, home) as service:
        own = await service.reconstruct(ReconstructRequest(request_id="1", images=(png(given),)))
        base = opened(own.images[0].picture.data).astype(float)
        moved = []
        for strength in (0.05, 0.4, 1.0):
            request = VariationRequest(
                request_id="1", image=png(given), strength=strength, seed=1, images=4
            )
            made = await images_of(service, request)
            moved.append(np.mean([np.abs(opened(one.picture.data) - base) for one in made]))
        unlike = VariationRequest(request_id="1", image=png(photo(9)), strength=1, seed=1)
        (far,) = await images_of(service, unlike)
    assert moved == sorted(moved)
    assert moved[0] < moved[-1] / 3
    assert opened(far.picture.data).tolist() == opened(made[0].picture.data).tolist()


@pytest.mark.parametrize("rows", [1, 3, 32])
async def test_a_picture_does_not_depend_on_its_company(vae, home, rows):
    request = SampleRequest(request_id="1", images=3, seed=11)
    async with service_of(vae, home, rows=32) as service:
        alone = [
            (await images_of(service, SampleRequest(request_id="1", seed=seed)))[0]
            for seed in (11, 12, 13)
        ]
    async with service_of(vae, home, rows=rows) as service:
        many = await asyncio.gather(
            images_of(service, request),
            *(
                images_of(service, SampleRequest(request_id="2", images=4, seed=seed))
                for seed in range(5)
            ),
            service.reconstruct(ReconstructRequest(request_id="3", images=(png(photo(1)),) * 3)),
        )
        runs = service.counts().runs
    assert [one.picture.data for one in many[0]] == [one.picture.data for one in alone]
    if rows == 32:
        assert runs < 26  # 23 decoded and 6 coded rows


async def test_the_same_request_gives_the_same_file(vae, home):
    async with service_of(vae, home) as service:
        first, second = [
            await images_of(service, SampleRequest(request_id=name, seed=5)) for name in "ab"
        ]
    assert first[0].picture.data == second[0].picture.data
    assert b"small" in first[0].picture.data  # the model, in the provenance


async def test_a_caller_who_leaves_takes_the_rows_along(vae, home):
    async with service_of(vae, home, rows=1) as service:
        chunks = service.generate_images(SampleRequest(request_id="1", images=16, seed=1))
        await anext(chunks)
        await chunks.aclose()
        done = service.counts()
        await images_of(service, SampleRequest(request_id="2", seed=1))
        after = service.counts()
        assert service.load().running + service.load().waiting == 0
    assert done.cancelled == 15
    assert after.evaluations <= done.evaluations + 2  # what ran on, and the new one


async def test_more_requests_than_the_queue_holds_are_refused(vae, home):
    async with service_of(vae, home, requests=2) as service:
        found = await asyncio.gather(
            *(
                images_of(service, SampleRequest(request_id="1", images=8, seed=seed))
                for seed in range(4)
            ),
            return_exceptions=True,
        )
    assert [type(one) for one in found[2:]] == [Overloaded] * 2
    assert [len(one) for one in found[:2] if isinstance(one, list)] == [8, 8]


async def test_a_deadline_that_passes(vae, home):
    async with service_of(vae, home) as service:
        with pytest.raises(DeadlineExceeded):
            await images_of(service, SampleRequest(request_id="1", images=16, deadline_s=1e-6))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"latent_terms": ((1, 1.0),)}, "latent_terms"),
        ({"top_k": 3}, "top_k"),
        ({"previews": 2}, "previews"),
        ({"best_of": 2}, "best_of"),
        ({"label": "cat"}, "label"),
        ({"width": 32}, "width"),
    ],
)
async def test_what_does_nothing_is_refused(vae, home, fields, param):
    async with service_of(vae, home) as service:
        with pytest.raises(UnsupportedParameter) as refused:
            await images_of(service, SampleRequest(request_id="1", **fields))
    assert refused.value.param == param


async def test_wrong_pictures_and_latents_are_refused(vae, home):
    broken = EncodedImage(data=b"GIF89a, or not")
    shape, infinite = np.zeros((CHANNELS, PLACES, 2)), np.full((CHANNELS, PLACES, PLACES), np.inf)
    async with service_of(vae, home, max_pixels=1024) as service:
        with pytest.raises(ImageUnreadable):
            await service.encode_image(EncodeRequest(request_id="1", images=(broken,)))
        with pytest.raises(ImageTooLarge):
            await service.encode_image(EncodeRequest(request_id="1", images=(png(photo(1, 40)),)))
        for wrong in (shape, infinite):
            with pytest.raises(InvalidRequest) as refused:
                await service.decode_image(DecodeRequest(request_id="1", latents=latents(wrong)))
            assert refused.value.param == "latents"
        with pytest.raises(UnsupportedParameter):
            await service.discriminate(DiscriminateRequest(request_id="1", images=(png(photo(1)),)))
        with pytest.raises(InvalidRequest):
            await images_of(service, SampleRequest(request_id="1", images=17))
