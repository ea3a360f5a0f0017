"""The parts of the diffusion room that are arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from bestiary.errors import InvalidRequest
from bestiary.schemas.image import Sampler
from deployments.image.diffusion.guidance import Guidance, GuidanceOptions
from deployments.image.diffusion.noise_levels import NoiseLevels
from deployments.image.diffusion.samplers import Samplers
from deployments.image.diffusion.step_cache import StepCache
from deployments.image.diffusion.weighted_prompt import weighted

ONES = np.ones((1, 2, 2), np.float32)


@pytest.mark.parametrize(
    ("prompt", "text", "heaviest"),
    [
        ("a red fox", "a red fox", 1.0),
        ("a (red) fox", "a red fox", 1.1),
        ("a (red:1.5) fox", "a red fox", 1.5),
        ("a ((red:2) fox:3)", "a red fox", 6.0),
        (r"a \(red\) fox", "a (red) fox", 1.0),
        ("smile :)", "smile :)", 1.0),
        ("a (red fox", "a (red fox", 1.0),
        ("", "", 1.0),
    ],
)
def test_brackets_weigh(prompt: str, text: str, heaviest: float) -> None:
    found = weighted(prompt, "prompt")
    assert found.text == text
    assert max(found.weights, default=1.0) == pytest.approx(heaviest)
    assert len(found.weights) == len(text)


def test_only_what_is_in_brackets_weighs() -> None:
    found = weighted("a (red:2) fox", "prompt")
    assert found.weights == (1, 1, 2, 2, 2, 1, 1, 1, 1)


def test_a_weight_out_of_bounds_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="11"):
        weighted("(fox:11)", "prompt")


def test_guidance_keeps_the_difference_between_fresh_ones() -> None:
    guidance = Guidance(GuidanceOptions(scale=3.0, every=2), steps=4)
    assert [guidance.wants_both(0), guidance.guides(1)] == [True, True]
    first = guidance.guided(0, 2 * ONES, ONES)
    assert not guidance.wants_both(1)
    second = guidance.guided(1, 5 * ONES, None)
    assert (first[0, 0, 0], second[0, 0, 0]) == (4.0, 7.0)  # 2 + 2*1, 5 + 2*1


def test_guidance_ends_where_its_share_does() -> None:
    guidance = Guidance(GuidanceOptions(scale=3.0, share=0.5), steps=4)
    assert [guidance.wants_both(step) for step in range(4)] == [True, True, False, False]


def test_a_prediction_is_used_again_while_little_moves_and_not_for_ever() -> None:
    cache = StepCache(0.1)
    assert cache.find(ONES) is None
    cache.keep(ONES, 7 * ONES)
    assert cache.find(1.05 * ONES) is not None
    assert cache.find(1.5 * ONES) is None
    assert [cache.find(ONES) is not None for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_denoised_picture_is_the_one_that_was_noised(prediction: str) -> None:
    config = dict(DDPMScheduler(prediction_type=prediction).config)
    levels, scheduler = NoiseLevels(config), DDPMScheduler.from_config(config)
    random = torch.Generator().manual_seed(0)
    true, noise = (torch.randn(1, 3, 4, 4, generator=random) for _ in range(2))
    timestep = torch.tensor([400])
    seen = scheduler.add_noise(true, noise, timestep)
    said = {
        "epsilon": noise,
        "v_prediction": scheduler.get_velocity(true, noise, timestep),
        "sample": true,
    }[prediction]
    found = levels.denoised(seen[0].numpy(), said[0].numpy(), 400)
    assert np.abs(found - true[0].numpy()).max() < 1e-4
    own = levels.noised(true[0].numpy(), noise[0].numpy(), 400)
    assert np.abs(own - seen[0].numpy()).max() < 1e-6


def test_there_is_less_signal_at_every_later_timestep() -> None:
    levels = NoiseLevels(dict(DDPMScheduler().config))
    ratios = [levels.snr(step) for step in range(0, 1000, 50)]
    assert ratios == sorted(ratios, reverse=True)
    assert levels.snr(0) < math.inf


@pytest.mark.parametrize("sampler", [Sampler.DDIM, Sampler.HEUN, Sampler.DPM_SOLVER])
def test_a_perfect_prediction_ends_at_the_picture(sampler: Sampler) -> None:
    """A network that always says what the picture is."""
    samplers = Samplers(dict(DDIMScheduler(prediction_type="sample", clip_sample=False).config))
    steps = samplers.open(sampler, 8)
    random = torch.Generator().manual_seed(0)
    picture, noise = (torch.randn(1, 3, 4, 4, generator=random) for _ in range(2))
    sample = steps.start(noise, None)
    for number in range(len(steps)):
        steps.scaled(sample, number)
        sample = steps.step(picture, number, sample, random)
    assert float((sample - picture).abs().max()) < 1e-2
