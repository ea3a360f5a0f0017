"""What a diffusion replica answers, beside diffusers' own pipelines and whatever the company."""

from __future__ import annotations

import asyncio
import io
import json
import math
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMPipeline, StableDiffusionPipeline
from PIL import Image

from bestiary.errors import DeadlineExceeded, InvalidRequest, Overloaded, UnsupportedParameter
from bestiary.schemas.image import (
    Denoising,
    EncodeRequest,
    ImageFormat,
    ImageToImageRequest,
    InpaintRequest,
    NoiseRequest,
    ReconstructRequest,
    Sampler,
    SampleRequest,
    SuperResolutionRequest,
    TextPrompt,
    TextToImageRequest,
    TrajectoryRequest,
    VariationRequest,
)
from tests.unit.image.conftest import Exported, chunks_of, pictures_of, serving, together
from tests.unit.image.small_pipelines import SIDE, as_png, picture, pixels_of

FOX = TextPrompt(text="a fox")
SAMPLERS_THAT_DO_NOT_FIT = {
    Sampler.FLOW_EULER,
    Sampler.FLOW_HEUN,
    *([] if find_spec("scipy") else [Sampler.LMS]),  # diffusers needs it for this one alone
}


def sample(**options: object) -> SampleRequest:
    return SampleRequest.model_validate({"request_id": "r", "seed": 3} | options)


def text(**options: object) -> TextToImageRequest:
    given = {"request_id": "r", "seed": 3, "prompt": FOX} | options
    return TextToImageRequest.model_validate(given)


def near(own: bytes, true: np.ndarray, most: int = 1) -> bool:
    """Of pixels 0..255: rounding may fall on either side."""
    return int(np.abs(pixels_of(own).astype(int) - true.astype(int)).max()) <= most


async def test_samples_are_those_of_diffusers_own_pipeline(unconditional: Exported) -> None:
    pipeline = DDPMPipeline.from_pretrained(unconditional.model.path)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator("cpu").manual_seed(3)
    true = pipeline(generator=generator, num_inference_steps=5, output_type="np").images[0]
    async with serving(unconditional) as service:
        asked = sample(denoising=Denoising(steps=5, sampler=Sampler.DDPM))
        own = await pictures_of(service, asked)
    assert near(own[0], (true * 255).round())


async def test_guided_text_to_image_is_that_of_diffusers_own_pipeline(
    text_to_image: Exported,
) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(
        text_to_image.model.path, safety_checker=None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    true = pipeline(
        "a fox",
        negative_prompt="a cat",
        height=SIDE,
        width=SIDE,
        num_inference_steps=6,
        guidance_scale=3.0,
        generator=torch.Generator("cpu").manual_seed(3),
        output_type="np",
    ).images[0]
    async with serving(text_to_image) as service:
        asked = text(
            prompt=TextPrompt(text="a fox", negative="a cat"),
            denoising=Denoising(steps=6, sampler=Sampler.DDIM, guidance_scale=3.0),
        )
        own = await pictures_of(service, asked)
    assert isinstance(pipeline.scheduler, DDIMScheduler)
    assert near(own[0], (true * 255).round(), most=2)


async def test_a_picture_is_the_same_whatever_its_company(text_to_image: Exported) -> None:
    """Different step counts, samplers, guidance and arrival: still one run a step."""
    asked = [
        text(seed=1, denoising=Denoising(steps=9, sampler=Sampler.EULER_ANCESTRAL)),
        text(seed=2, denoising=Denoising(steps=5, guidance_scale=4.0)),
        text(seed=3, denoising=Denoising(steps=7, sampler=Sampler.DPM_SOLVER, guidance_scale=2.0)),
        text(seed=4, denoising=Denoising(steps=3, sampler=Sampler.UNIPC)),
    ]
    async with serving(text_to_image) as service:
        alone = [await pictures_of(service, one) for one in asked]
        runs = service.counts().runs

        async def late(number: int) -> list[bytes]:
            await asyncio.sleep(0.01 * number)
            return await pictures_of(service, asked[number])

        company = await together(*(late(number) for number in range(len(asked))))
        shared = service.counts().runs - runs
    for own, beside in zip(alone, company, strict=True):
        assert near(beside[0], pixels_of(own[0]))
    assert shared < runs


async def test_picture_i_of_a_request_can_be_made_again_alone(unconditional: Exported) -> None:
    async with serving(unconditional) as service:
        three = await pictures_of(service, sample(images=3, seed=10))
        alone = await pictures_of(service, sample(seed=12))
    assert near(three[2], pixels_of(alone[0]))


async def test_more_pictures_than_rows_wait_and_come(unconditional: Exported) -> None:
    async with serving(unconditional, rows=2) as service:
        few = await pictures_of(service, sample(images=5))
    async with serving(unconditional) as service:
        many = await pictures_of(service, sample(images=5))
    assert [near(one, pixels_of(other)) for one, other in zip(few, many, strict=True)] == [True] * 5


async def test_guidance_costs_two_evaluations_a_step_or_fewer_where_asked(
    text_to_image: Exported,
) -> None:
    async def evaluations(**options: object) -> int:
        asked = text(denoising=Denoising(steps=10, guidance_scale=3.0, **options))
        image = (await chunks_of(service, asked))[-1].image
        assert image is not None
        return image.work.evaluations

    async with serving(text_to_image) as service:
        assert await evaluations() == 20
        assert await evaluations(guidance_share=0.5) == 15
        assert await evaluations(guidance_every=2) == 15
        assert await evaluations(cache_threshold=1.0) < 12


async def test_an_unguided_step_is_one_evaluation(text_to_image: Exported) -> None:
    async with serving(text_to_image) as service:
        image = (await chunks_of(service, text(denoising=Denoising(steps=10))))[-1].image
    assert image is not None
    assert (image.work.steps, image.work.evaluations) == (10, 10)
    assert image.work.seconds > 0


@pytest.mark.parametrize("sampler", list(Sampler))
async def test_every_sampler_ends_in_numbers_or_says_that_it_cannot(
    unconditional: Exported, sampler: Sampler
) -> None:
    async with serving(unconditional) as service:
        asked = sample(denoising=Denoising(steps=4, sampler=sampler))
        if sampler in SAMPLERS_THAT_DO_NOT_FIT:
            with pytest.raises(InvalidRequest, match="ddim"):
                await chunks_of(service, asked)
            return
        first = await pictures_of(service, asked)
        again = await pictures_of(service, asked)
    assert first == again


async def test_outside_the_mask_nothing_changes(text_to_image: Exported) -> None:
    whole = picture(7)
    mask = np.zeros((SIDE, SIDE, 3), np.uint8)
    mask[4:9, 2:11] = 255
    asked = InpaintRequest(
        request_id="r", seed=1, image=whole, mask=as_png(mask), prompt=FOX, strength=0.9
    )
    async with serving(text_to_image) as service:
        own = pixels_of((await pictures_of(service, asked))[0])
    before = pixels_of(whole.data)
    outside = mask[:, :, 0] == 0
    assert np.array_equal(own[outside], before[outside])
    assert not np.array_equal(own[~outside], before[~outside])


async def test_a_transparent_hole_is_a_mask_too(unconditional: Exported) -> None:
    whole = picture(7)
    mask = np.full((SIDE, SIDE, 4), 255, np.uint8)
    mask[:4, :, 3] = 0
    asked = InpaintRequest(request_id="r", seed=1, image=whole, mask=as_png(mask))
    async with serving(unconditional) as service:
        own = pixels_of((await pictures_of(service, asked))[0])
    assert np.array_equal(own[4:], pixels_of(whole.data)[4:])


async def test_a_mask_of_another_size_is_refused(unconditional: Exported) -> None:
    asked = InpaintRequest(request_id="r", image=picture(1), mask=picture(2, 8, 8))
    async with serving(unconditional) as service:
        with pytest.raises(InvalidRequest, match="8x8") as refusal:
            await chunks_of(service, asked)
    assert refusal.value.param == "mask"


async def test_less_strength_stays_nearer_to_the_picture_and_costs_less(
    unconditional: Exported,
) -> None:
    async def moved(strength: float) -> tuple[float, int]:
        asked = ImageToImageRequest(
            request_id="r",
            seed=1,
            image=picture(5),
            strength=strength,
            denoising=Denoising(steps=10),
        )
        image = (await chunks_of(service, asked))[-1].image
        assert image is not None
        apart = pixels_of(image.picture.data).astype(float) - pixels_of(picture(5).data)
        return float(np.abs(apart).mean()), image.work.evaluations

    async with serving(unconditional) as service:
        little, much = await moved(0.1), await moved(1.0)
    assert little[0] < much[0]
    assert (little[1], much[1]) == (1, 10)


async def test_a_variation_needs_no_prompt(text_to_image: Exported) -> None:
    async with serving(text_to_image) as service:
        asked = VariationRequest(request_id="r", image=picture(5), images=2, seed=1)
        own = await pictures_of(service, asked)
    assert own[0] != own[1]


async def test_without_a_prompt_nothing_is_guided(text_to_image: Exported) -> None:
    asked = ImageToImageRequest(
        request_id="r", image=picture(5), seed=1, strength=1, denoising=Denoising(steps=6)
    )
    async with serving(text_to_image) as service:
        [own] = [one.image for one in await chunks_of(service, asked) if one.image]
        empty = asked.model_copy(update={"prompt": TextPrompt(text="")})
        [same] = await pictures_of(service, empty)
    assert np.array_equal(pixels_of(own.picture.data), pixels_of(same))
    assert own.work.evaluations == 6


async def test_a_picture_of_any_size_comes_back_four_times_as_large(upscaler: Exported) -> None:
    asked = SuperResolutionRequest(request_id="r", seed=1, image=picture(5, width=7, height=5))
    async with serving(upscaler) as service:
        own = pixels_of((await pictures_of(service, asked))[0])
    assert own.shape == (20, 28, 3)


async def test_previews_are_spread_over_the_steps(text_to_image: Exported) -> None:
    async with serving(text_to_image) as service:
        chunks = await chunks_of(service, text(previews=3, denoising=Denoising(steps=8)))
    shown = [chunk for chunk in chunks if chunk.preview is not None]
    assert [chunk.step for chunk in shown] == [2, 4, 6]
    assert all(chunk.preview and chunk.preview.width == SIDE for chunk in shown)
    assert chunks[-1].image is not None
    assert chunks[-1].timings is not None


async def test_a_trajectory_goes_from_noise_to_the_picture(unconditional: Exported) -> None:
    asked = TrajectoryRequest(request_id="r", seed=3, frames=3, denoising=Denoising(steps=6))
    async with serving(unconditional) as service:
        watched = await service.trajectory(asked)
        made = await pictures_of(service, sample(denoising=Denoising(steps=6)))
    assert [frame.step for frame in watched.frames] == [0, 3, 6]
    assert [frame.snr for frame in watched.frames] == sorted(frame.snr for frame in watched.frames)
    assert math.isinf(watched.frames[-1].snr)
    assert watched.frames[0].denoised is None
    assert near(watched.image.picture.data, pixels_of(made[0]))
    assert near(watched.frames[-1].picture.data, pixels_of(made[0]))


async def test_noise_grows_with_the_timestep_and_its_levels_are_told(
    unconditional: Exported,
) -> None:
    asked = NoiseRequest(request_id="r", seed=1, image=picture(5), timesteps=(0, 300, 999))
    async with serving(unconditional) as service:
        noised = await service.noise(asked)
    first, middle, last = noised.images
    assert first.snr > middle.snr > last.snr
    for one in noised.images:
        assert one.signal**2 + one.noise**2 == pytest.approx(1)
    apart = [
        float(np.abs(pixels_of(one.picture.data).astype(int) - pixels_of(picture(5).data)).mean())
        for one in noised.images
    ]
    assert apart == sorted(apart)


async def test_a_timestep_beyond_the_training_is_refused(unconditional: Exported) -> None:
    async with serving(unconditional) as service:
        with pytest.raises(InvalidRequest, match="999"):
            await service.noise(NoiseRequest(request_id="r", image=picture(5), timesteps=(1000,)))


async def test_latents_of_a_picture(text_to_image: Exported) -> None:
    async with serving(text_to_image) as service:
        found = await service.encode_image(EncodeRequest(request_id="r", images=(picture(5),)))
    assert found.latents.shape == (1, 4, SIDE // 2, SIDE // 2)


async def test_the_files_tell_where_they_come_from(text_to_image: Exported) -> None:
    async with serving(text_to_image) as service:
        png = (await pictures_of(service, text()))[0]
        webp = (await pictures_of(service, text(format=ImageFormat.WEBP)))[0]
    said = json.loads(Image.open(io.BytesIO(png)).text["bestiary"])  # type: ignore[attr-defined]
    assert said["model"] == "small-text"
    assert said["seed"] == 3
    assert "fox" not in json.dumps(said)
    assert json.loads(Image.open(io.BytesIO(webp)).getexif()[0x010E]) == said
    assert np.array_equal(pixels_of(png), pixels_of(webp))


async def test_closing_the_stream_stops_within_one_step(unconditional: Exported) -> None:
    async with serving(unconditional) as service:
        stream = service.generate_images(
            sample(previews=32, images=2, denoising=Denoising(steps=50))
        )
        await anext(stream)
        await stream.aclose()
        await asyncio.sleep(0.1)
        counts = service.counts()
        assert counts.cancelled == 2
        assert counts.images == 0
        assert service.load().running == service.load().waiting == 0
        await asyncio.sleep(0.1)
        assert service.counts() == counts


async def test_a_deadline_stops_the_work(unconditional: Exported) -> None:
    asked = sample(deadline_s=0.02, images=8, denoising=Denoising(steps=60))
    async with serving(unconditional) as service:
        with pytest.raises(DeadlineExceeded):
            await chunks_of(service, asked)
        assert service.load().waiting == 0


async def test_too_many_requests_are_refused(unconditional: Exported) -> None:
    async with serving(unconditional, max_requests=1) as service:
        stream = service.generate_images(sample(previews=32, denoising=Denoising(steps=50)))
        await anext(stream)
        with pytest.raises(Overloaded):
            await chunks_of(service, sample())
        await stream.aclose()


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"images": 9}, "n"),
        ({"denoising": Denoising(steps=61)}, "steps"),
        ({"width": 256, "height": 256}, "size"),
        ({"width": 18}, "size"),
        ({"denoising": Denoising(eta=0.5, sampler=Sampler.EULER)}, "eta"),
        ({"denoising": Denoising(guidance_scale=3.0)}, "guidance_scale"),
        ({"temperature": 0.5}, "temperature"),
        ({"best_of": 2}, "best_of"),
        ({"label": "cat"}, "label"),
    ],
)
async def test_what_cannot_be_is_refused_and_named(
    unconditional: Exported, options: dict[str, object], param: str
) -> None:
    async with serving(unconditional) as service:
        with pytest.raises(InvalidRequest) as refusal:
            await chunks_of(service, sample(**options))
        assert refusal.value.param == param
        assert service.load().waiting == 0


async def test_another_task_is_refused_with_what_the_model_can(unconditional: Exported) -> None:
    async with serving(unconditional) as service:
        with pytest.raises(UnsupportedParameter, match="unconditional-image-generation"):
            await chunks_of(service, text())
        with pytest.raises(UnsupportedParameter):
            await service.reconstruct(ReconstructRequest(request_id="r", images=(picture(1),)))


async def test_other_sizes_have_a_run_of_their_own(unconditional: Exported) -> None:
    async with serving(unconditional) as service:
        small, large = await together(
            pictures_of(service, sample(width=8, height=12)),
            pictures_of(service, sample(width=24, height=16)),
        )
    assert pixels_of(small[0]).shape == (12, 8, 3)
    assert pixels_of(large[0]).shape == (16, 24, 3)


async def test_a_weighted_prompt_moves_the_picture(text_to_image: Exported) -> None:
    async with serving(text_to_image) as service:
        plain = await pictures_of(service, text())
        same = await pictures_of(service, text(prompt=TextPrompt(text="a (fox:1.0)")))
        heavy = await pictures_of(service, text(prompt=TextPrompt(text="a (fox:3.0)")))
    assert plain[0] != heavy[0]
    assert near(same[0], pixels_of(plain[0]))
