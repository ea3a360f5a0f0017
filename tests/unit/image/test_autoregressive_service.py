"""A small ImageGPT as a service: the whole path but for Ray, against transformers in torch."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ImageGPTConfig, ImageGPTForCausalImageModeling

from bestiary.errors import DeadlineExceeded, InvalidRequest, Overloaded, UnsupportedParameter
from bestiary.garden import InstalledModel
from bestiary.garden.image_facts import ImageFacts
from bestiary.progress import Silent
from bestiary.schemas.image import (
    CompletionRequest,
    EncodeRequest,
    ImageFamily,
    LikelihoodRequest,
    SampleRequest,
    VariationRequest,
)
from deployments.image.autoregressive.choosing import Choice, choose
from deployments.kernels.image_build import build_image_once
from deployments.kernels.image_certify import read_image_certificate
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

SIDE, LEVELS, CLASSES = 6, 5, ("ring", "line")
PLACES = SIDE * SIDE
ANY = LEVELS + len(CLASSES)
GREYS = np.linspace(-1, 1, LEVELS)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory, home: Path) -> InstalledModel:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("gpt")
    config = ImageGPTConfig(
        vocab_size=ANY + 1,
        n_positions=PLACES,
        n_embd=16,
        n_layer=2,
        n_head=2,
        initializer_range=0.6,
    )
    ImageGPTForCausalImageModeling(config).save_pretrained(folder)
    clusters = json.dumps({"clusters": [[grey] for grey in GREYS]})
    (folder / "preprocessor_config.json").write_text(clusters)
    facts = ImageFacts(
        family=ImageFamily.AUTOREGRESSIVE, width=SIDE, height=SIDE, channels=1, classes=CLASSES
    )
    return prepared(model_of(folder, facts, "ImageGPTForCausalImageModeling"), home)


@pytest.fixture(scope="module")
def torch_gpt(gpt: InstalledModel) -> ImageGPTForCausalImageModeling:
    return ImageGPTForCausalImageModeling.from_pretrained(gpt.path).eval()


def drawn(model, first: int, given: list[int], choice: Choice) -> np.ndarray:
    """Codes [SIDE, SIDE], by torch without a cache."""
    codes = list(given)
    while len(codes) < PLACES:
        with torch.no_grad():
            logits = model(torch.tensor([[first, *codes]]), use_cache=False).logits[0, -1, :LEVELS]
        codes.append(choose(logits.numpy(), choice, len(codes)))
    return np.array(codes).reshape(SIDE, SIDE)


def codes_of(data: bytes) -> np.ndarray:
    floats = opened(data) / 127.5 - 1
    return np.abs(floats[..., None] - GREYS).argmin(-1)


def picture(seed: int) -> np.ndarray:
    """Whose greys are the model's own."""
    codes = np.random.default_rng(seed).integers(0, LEVELS, (SIDE, SIDE))
    return np.rint((GREYS[codes] + 1) * 127.5).astype(np.uint8)


@pytest.mark.parametrize(("label", "first"), [("ring", LEVELS), ("line", LEVELS + 1), (None, ANY)])
async def test_samples_are_those_of_torch(gpt, home, torch_gpt, label, first):
    async with service_of(gpt, home) as service:
        request = SampleRequest(request_id="1", images=2, seed=5, label=label)
        made = await images_of(service, request)
    for image in made:
        expected = drawn(torch_gpt, first, [], Choice(image.seed))
        assert codes_of(image.picture.data).tolist() == expected.tolist()
        assert image.work.steps == image.work.evaluations == PLACES
        assert image.work.seconds > 0


def test_its_certificate_tells_of_whole_pictures(gpt, home):
    folder = build_image_once(gpt, "fp32", home, Silent())
    certificate = read_image_certificate(folder)
    assert certificate is not None
    assert certificate.pipeline is not None, certificate.not_certified
    assert (certificate.pipeline.psnr, certificate.pipeline.steps) == (100, PLACES)


async def test_temperature_and_top_k(gpt, home, torch_gpt):
    async with service_of(gpt, home) as service:
        for warmth in ({"temperature": 0.0}, {"temperature": 0.5}, {"top_k": 2}):
            request = SampleRequest(request_id="1", seed=3, **warmth)
            (made,) = await images_of(service, request)
            expected = drawn(torch_gpt, ANY, [], Choice(3, **{"temperature": 1.0} | warmth))
            assert codes_of(made.picture.data).tolist() == expected.tolist()


@pytest.mark.parametrize("keep", [0.0, 0.2, 0.5, 0.99])
async def test_a_completion_keeps_what_is_given(gpt, home, torch_gpt, keep):
    given = picture(4)
    async with service_of(gpt, home) as service:
        request = CompletionRequest(request_id="1", image=png(given), keep=keep, seed=2, images=2)
        made = await images_of(service, request)
    rows = int(keep * SIDE)
    own = codes_of(png(given).data)[:rows]
    for image in made:
        found = codes_of(image.picture.data)
        assert found[:rows].tolist() == own.tolist()
        expected = drawn(torch_gpt, ANY, own.reshape(-1).tolist(), Choice(image.seed))
        assert found.tolist() == expected.tolist()
        assert image.work.steps == PLACES - rows * SIDE


async def test_the_likelihood_is_exact(gpt, home, torch_gpt):
    given = [picture(seed) for seed in range(3)]
    async with service_of(gpt, home) as service:
        result = await service.likelihood(
            LikelihoodRequest(request_id="1", images=tuple(map(png, given)), label="line")
        )
    for one, pixels in zip(result.images, given, strict=True):
        codes = torch.from_numpy(codes_of(png(pixels).data).reshape(-1))
        ids = torch.cat((torch.tensor([LEVELS + 1]), codes[:-1]))
        with torch.no_grad():
            logits = torch_gpt(ids[None], use_cache=False).logits[0, :, :LEVELS].double()
        expected = logits.log_softmax(-1)[torch.arange(PLACES), codes].numpy()
        assert one.log_likelihood == pytest.approx(expected.sum(), abs=1e-4)
        assert one.bits_per_dimension == pytest.approx(-expected.mean() / math.log(2), abs=1e-5)
        np.testing.assert_allclose(
            one.per_row, -expected.reshape(SIDE, SIDE).mean(1) / math.log(2), atol=1e-5
        )
        assert one.dimensions == PLACES


async def test_what_it_draws_is_likelier_to_it_than_noise(gpt, home):
    async with service_of(gpt, home) as service:
        made = await images_of(service, SampleRequest(request_id="1", images=8, seed=1))
        of_made, of_noise = [
            await service.likelihood(LikelihoodRequest(request_id="2", images=images))
            for images in (
                tuple(png(opened(one.picture.data)) for one in made),
                tuple(png(picture(seed)) for seed in range(8)),
            )
        ]
    bits = [np.mean([one.bits_per_dimension for one in of.images]) for of in (of_made, of_noise)]
    assert bits[0] < math.log2(LEVELS) < bits[1]


async def test_rows_at_different_places_run_together_and_change_nothing(gpt, home):
    """Requests that come one after another, completions and likelihoods among them."""
    requests = [
        SampleRequest(request_id="1", images=2, seed=1),
        CompletionRequest(request_id="2", image=png(picture(1)), keep=0.5, seed=2),
        SampleRequest(request_id="3", seed=3, temperature=0.7, label="ring"),
        CompletionRequest(request_id="4", image=png(picture(2)), keep=0.2, seed=4, top_k=3),
        SampleRequest(request_id="5", images=3, seed=5),
    ]
    asked = LikelihoodRequest(request_id="6", images=(png(picture(3)), png(picture(4))))

    async def later(turns: int, service, request):
        for _ in range(turns):
            await asyncio.sleep(0.002)
        return await images_of(service, request)

    async with service_of(gpt, home) as service:
        alone = [await images_of(service, request) for request in requests]
        told = await service.likelihood(asked)
        runs_alone = service.counts().runs
    async with service_of(gpt, home, rows=5) as service:
        *together, again = await asyncio.gather(
            *(later(turns, service, request) for turns, request in enumerate(requests)),
            service.likelihood(asked),
        )
        runs = service.counts().runs
    for own, one in zip(together, alone, strict=True):
        assert [image.picture.data for image in own] == [image.picture.data for image in one]
    for own, one in zip(again.images, told.images, strict=True):
        assert own.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-4)
    assert runs < 0.8 * runs_alone


async def test_rows_are_told_as_they_appear(gpt, home):
    async with service_of(gpt, home) as service:
        request = SampleRequest(request_id="1", images=2, seed=7, previews=2)
        chunks = await chunks_of(service, request)
    for index in (0, 1):
        own = [chunk for chunk in chunks if chunk.index == index]
        assert [chunk.step for chunk in own] == [SIDE * row for row in range(1, SIDE + 1)]
        assert {chunk.steps for chunk in own} == {PLACES}
        whole = codes_of(own[-1].image.picture.data)
        previews = [(chunk.step // SIDE, chunk.preview) for chunk in own if chunk.preview]
        assert [rows for rows, _ in previews] == [2, 4]
        for rows, preview in previews:
            assert codes_of(preview.data)[:rows].tolist() == whole[:rows].tolist()
    assert [chunk.timings is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].timings.decode_s > 0


async def test_a_caller_who_leaves_frees_the_rows(gpt, home):
    async with service_of(gpt, home, rows=2) as service:
        chunks = service.generate_images(SampleRequest(request_id="1", images=16, seed=1))
        await anext(chunks)
        await chunks.aclose()
        before = service.counts()
        await images_of(service, SampleRequest(request_id="2", seed=1))
        after = service.counts()
        assert service.load().running + service.load().waiting == 0
    assert before.cancelled == 16
    # At most the step that ran, with both rows, and the new picture alone.
    assert after.evaluations <= before.evaluations + 2 + PLACES


async def test_the_queue_has_a_bound_and_deadlines_hold(gpt, home):
    async with service_of(gpt, home, requests=1) as service:
        kept, refused = await asyncio.gather(
            *(images_of(service, SampleRequest(request_id=name, seed=1)) for name in "ab"),
            return_exceptions=True,
        )
        assert len(kept) == 1
        assert isinstance(refused, Overloaded)
        with pytest.raises(DeadlineExceeded):
            await images_of(service, SampleRequest(request_id="1", images=16, deadline_s=1e-4))
        assert len(await images_of(service, SampleRequest(request_id="2"))) == 1


async def test_pictures_as_codes(gpt, home):
    given = picture(8)
    async with service_of(gpt, home) as service:
        found = await service.encode_image(EncodeRequest(request_id="1", images=(png(given),)))
        with pytest.raises(UnsupportedParameter):
            await service.encode_image(EncodeRequest(request_id="1", images=(png(given),), seed=1))
    assert found.latents.shape == (1, 1, SIDE, SIDE)
    assert found.latents[0, 0].tolist() == codes_of(png(given).data).tolist()


@pytest.mark.parametrize(
    ("fields", "error", "param"),
    [
        ({"truncation": 0.5}, UnsupportedParameter, "truncation"),
        ({"latent_terms": ((1, 1.0),)}, UnsupportedParameter, "latent_terms"),
        ({"best_of": 2}, UnsupportedParameter, "best_of"),
        ({"width": 8}, UnsupportedParameter, "width"),
        ({"label": "square"}, InvalidRequest, "label"),
        ({"images": 17}, InvalidRequest, "n"),
    ],
)
async def test_what_does_nothing_is_refused(gpt, home, fields, error, param):
    async with service_of(gpt, home) as service:
        with pytest.raises(error) as refused:
            await images_of(service, SampleRequest(request_id="1", **fields))
        with pytest.raises(UnsupportedParameter):
            await images_of(service, VariationRequest(request_id="1", image=png(photo(1))))
    assert refused.value.param == param
