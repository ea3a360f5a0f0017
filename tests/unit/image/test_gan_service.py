"""A conditional GAN as a service: the whole path but for Ray, against the zoo's own in torch."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bestiary.errors import InvalidRequest, UnsupportedParameter
from bestiary.garden import InstalledModel
from bestiary.garden.image_facts import ImageFacts
from bestiary.progress import Silent
from bestiary.schemas.image import (
    DecodeRequest,
    DiscriminateRequest,
    EncodeRequest,
    ImageFamily,
    InterpolateRequest,
    Latents,
    SampleRequest,
)
from deployments.image.gan.latents import latent_of
from deployments.image.opening import room_of
from deployments.image.pixels import to_floats, to_pixels
from deployments.kernels.image_build import build_image_once
from deployments.kernels.image_certify import read_image_certificate
from tests.unit.image.single_runs import (
    args_of,
    images_of,
    model_of,
    opened,
    photo,
    png,
    prepared,
    service_of,
)
from training.architectures.conditional_gan import ConditionalGan, GanConfig

CLASSES = ("cat", "dog", "hen")
LATENT = 24
CONFIG = GanConfig(
    image_size=8, channels=3, classes=CLASSES, latent_size=LATENT, base_size=2, widths=(96, 64, 48)
)
FACTS = ImageFacts(
    family=ImageFamily.GAN, width=8, height=8, classes=CLASSES, latent_shape=(LATENT,)
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory, home: Path) -> InstalledModel:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("gan")
    calibrated = replace(CONFIG, score_scale=0.5, score_bias=-0.1)
    ConditionalGan(CONFIG).save_pretrained(folder, calibrated)
    return prepared(model_of(folder, FACTS, "ConditionalGan"), home)


@pytest.fixture(scope="module")
def torch_gan(gan: InstalledModel) -> ConditionalGan:
    return ConditionalGan.from_pretrained(gan.path)


def drawn(torch_gan: ConditionalGan, latents: np.ndarray, label: int) -> list[np.ndarray]:
    """Pictures, by torch."""
    with torch.no_grad():
        labels = torch.full((len(latents),), label)
        made = torch_gan.generator(torch.from_numpy(latents), labels).numpy()
    return [to_pixels(one) for one in made]


def differ(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other).max())


async def test_samples_are_the_zoos(gan, home, torch_gan):
    async with service_of(gan, home) as service:
        request = SampleRequest(request_id="1", images=3, seed=5, label="dog")
        made = await images_of(service, request)
    latents = np.stack([latent_of(seed, LATENT) for seed in (5, 6, 7)])
    for image, expected in zip(made, drawn(torch_gan, latents, 1), strict=True):
        assert differ(opened(image.picture.data), expected) <= 1
    assert [one.seed for one in made] == [5, 6, 7]


async def test_without_a_label_classes_vary(gan, home):
    async with service_of(gan, home, max_images=64) as service:
        free = await images_of(service, SampleRequest(request_id="1", images=40, seed=0))
        told = [
            await images_of(service, SampleRequest(request_id="1", images=40, seed=0, label=label))
            for label in CLASSES
        ]
    of_class = [
        [own.picture.data == one.picture.data for own, one in zip(free, same, strict=True)]
        for same in told
    ]
    assert np.sum(of_class, axis=0).tolist() == [1] * 40
    assert min(sum(row) for row in of_class) > 4


async def test_truncation_brings_pictures_nearer_to_each_other(gan, home):
    spreads = []
    async with service_of(gan, home) as service:
        for truncation in (None, 0.5, 0.1):
            request = SampleRequest(
                request_id="1", images=16, seed=1, label="cat", truncation=truncation
            )
            made = [opened(one.picture.data) for one in await images_of(service, request)]
            spreads.append(np.std(np.stack(made).astype(float), axis=0).mean())
    assert spreads[0] > 1.2 * spreads[1]
    assert spreads[1] > 1.5 * spreads[2]


async def test_latent_arithmetic(gan, home, torch_gan):
    terms = ((3, 1.0), (4, -0.5), (5, 2.0))
    async with service_of(gan, home) as service:
        request = SampleRequest(request_id="1", latent_terms=terms, label="hen")
        (made,) = await images_of(service, request)
        (one,) = await images_of(
            service, SampleRequest(request_id="2", latent_terms=((3, 1.0),), label="hen")
        )
        (same,) = await images_of(service, SampleRequest(request_id="3", seed=3, label="hen"))
    latent = sum(weight * latent_of(seed, LATENT) for seed, weight in terms)
    (expected,) = drawn(torch_gan, np.asarray(latent, np.float32)[None], 2)
    assert differ(opened(made.picture.data), expected) <= 1
    assert opened(one.picture.data).tolist() == opened(same.picture.data).tolist()


async def test_the_discriminators_view_is_the_zoos_and_calibrated(gan, home, torch_gan):
    pictures = [photo(seed, 8) for seed in range(3)]
    given = torch.from_numpy(np.stack([to_floats(one) for one in pictures]))
    async with service_of(gan, home) as service:
        files = tuple(map(png, pictures))
        told = await service.discriminate(
            DiscriminateRequest(request_id="1", images=files, label="cat")
        )
        free = await service.discriminate(DiscriminateRequest(request_id="2", images=files))
    with torch.no_grad():
        logits = torch.stack(
            [torch_gan.discriminator(given, torch.full((3,), one)) for one in range(3)]
        ).numpy()
    np.testing.assert_allclose([one.score for one in told.images], logits[0], atol=1e-5)
    np.testing.assert_allclose([one.score for one in free.images], logits.max(0), atol=1e-5)
    for one in (*told.images, *free.images):
        assert one.probability == pytest.approx(1 / (1 + math.exp(0.1 - 0.5 * one.score)))
        assert one.calibrated


async def test_the_best_of_some_is_what_the_discriminator_prefers(gan, home, torch_gan):
    async with service_of(gan, home) as service:
        request = SampleRequest(request_id="1", images=2, best_of=4, seed=20, label="cat")
        made = await images_of(service, request)
        alone = [
            (await images_of(service, SampleRequest(request_id="2", seed=seed, label="cat")))[0]
            for seed in range(20, 28)
        ]
    shown = torch.from_numpy(np.stack([to_floats(opened(one.picture.data)) for one in alone]))
    with torch.no_grad():
        logits = torch_gan.discriminator(shown, torch.zeros(8, dtype=torch.int64)).numpy()
    for index, image in enumerate(made):
        own = logits[4 * index : 4 * index + 4]
        np.testing.assert_allclose(image.scores, own, atol=1e-5)
        assert image.seed == 20 + 4 * index + int(own.argmax())
        assert image.score == max(image.scores)
        assert image.work.evaluations == 4
        chosen = alone[image.seed - 20]
        assert image.picture.data == chosen.picture.data


async def test_decoding_takes_the_callers_latents(gan, home, torch_gan):
    latents = np.stack([latent_of(seed, LATENT) for seed in (1, 2)])
    given = Latents(shape=latents.shape, data=latents.astype("<f4").tobytes())
    async with service_of(gan, home) as service:
        found = await service.decode_image(
            DecodeRequest(request_id="1", latents=given, label="dog")
        )
        with pytest.raises(InvalidRequest) as refused:
            await service.decode_image(DecodeRequest(request_id="1", latents=given))
    for picture, expected in zip(found.pictures, drawn(torch_gan, latents, 1), strict=True):
        assert differ(opened(picture.data), expected) <= 1
    assert refused.value.param == "label"


async def test_interpolation_is_spherical(gan, home, torch_gan):
    async with service_of(gan, home) as service:
        found = await service.interpolate(
            InterpolateRequest(request_id="1", seeds=(1, 2), frames=3, label="hen")
        )
        (first,) = await images_of(service, SampleRequest(request_id="1", seed=1, label="hen"))
    ends = latent_of(1, LATENT), latent_of(2, LATENT)
    angle = np.arccos(ends[0] @ ends[1] / np.linalg.norm(ends[0]) / np.linalg.norm(ends[1]))
    middle = (ends[0] + ends[1]) * (np.sin(angle / 2) / np.sin(angle))
    expected = drawn(torch_gan, np.stack([ends[0], middle, ends[1]]).astype(np.float32), 2)
    for picture, one in zip(found.pictures, expected, strict=True):
        assert differ(opened(picture.data), one) <= 1
    assert opened(found.pictures[0].data).tolist() == opened(first.picture.data).tolist()


async def test_a_picture_does_not_depend_on_its_company(gan, home):
    async with service_of(gan, home) as service:
        alone = [
            (await images_of(service, SampleRequest(request_id="1", seed=seed)))[0]
            for seed in range(30)
        ]
        crowd = await asyncio.gather(
            *(
                images_of(service, SampleRequest(request_id="1", images=5, seed=seed))
                for seed in range(0, 30, 5)
            ),
            service.discriminate(
                DiscriminateRequest(request_id="2", images=(png(photo(1, 8)),) * 9)
            ),
        )
        made = [image for own in crowd[:6] for image in own]
    assert [one.picture.data for one in made] == [one.picture.data for one in alone]


async def test_logits_do_not_depend_on_their_company(gan, home):
    files = tuple(png(photo(seed, 8)) for seed in range(16))
    async with service_of(gan, home) as service:
        together = await service.discriminate(
            DiscriminateRequest(request_id="1", images=files, label="cat")
        )
        alone = [
            await service.discriminate(
                DiscriminateRequest(request_id="1", images=(one,), label="cat")
            )
            for one in files
        ]
    assert [one.score for one in together.images] == [one.images[0].score for one in alone]


@pytest.mark.parametrize(
    ("fields", "error", "param"),
    [
        ({"temperature": 0.5}, UnsupportedParameter, "temperature"),
        ({"top_k": 3}, UnsupportedParameter, "top_k"),
        ({"height": 64}, UnsupportedParameter, "height"),
        ({"label": "cow"}, InvalidRequest, "label"),
        ({"latent_terms": ((1, 1.0),), "images": 2}, InvalidRequest, "latent_terms"),
    ],
)
async def test_what_does_nothing_is_refused(gan, home, fields, error, param):
    async with service_of(gan, home) as service:
        with pytest.raises(error) as refused:
            await images_of(service, SampleRequest(request_id="1", **fields))
        with pytest.raises(UnsupportedParameter):
            await service.encode_image(EncodeRequest(request_id="1", images=(png(photo(1)),)))
    assert refused.value.param == param


def test_its_build_is_certified_beside_torch(gan, home):
    precision = args_of(gan).image.precision
    folder = build_image_once(gan, precision, home, Silent())
    certificate = read_image_certificate(folder)
    assert set(certificate.parts) == {"generator", "discriminator"}
    assert 0 <= certificate.parts["generator"].max_error < 1e-4
    assert certificate.pipeline.psnr > 90


async def test_in_bytes_it_draws_nearly_the_same(gan, home):
    args = args_of(gan, precision="int8")
    room_of(args).prepare(gan, args, home, Silent())
    request = SampleRequest(request_id="1", images=4, seed=1, label="cat")
    async with service_of(gan, home) as service:
        exact = [opened(one.picture.data) for one in await images_of(service, request)]
    async with service_of(gan, home, precision="int8") as service:
        made = [opened(one.picture.data) for one in await images_of(service, request)]
    off = np.abs(np.stack(exact).astype(int) - np.stack(made))
    assert 0 < off.mean() < 0.1 * np.stack(exact).std()
