"""PSNR, SSIM, Frechet distance, retrieval and calibration against values known beforehand."""

from __future__ import annotations

import math

import pytest
import torch

from training.frechet import frechet_distance
from zoo.image.digit_gan import Calibration, calibrated, expected_calibration_error
from zoo.image.emoji_embedder import retrieval_among
from zoo.image.measures import psnr, ssim


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_psnr_of_a_known_error() -> None:
    picture = torch.zeros(2, 3, 16, 16)
    found = psnr(picture + 0.2, picture)  # a tenth of the range: 20 dB
    assert found.tolist() == pytest.approx([20.0, 20.0], abs=1e-4)
    assert math.isinf(float(psnr(picture, picture)[0]))


def test_ssim_of_the_same_picture_is_one_and_falls_with_noise() -> None:
    picture = noise(1, 3, 32, 32).clamp(-1, 1)
    assert float(ssim(picture, picture)) == pytest.approx(1.0, abs=1e-5)
    little, much = (
        float(ssim(picture + amount * noise(1, 3, 32, 32, seed=1), picture))
        for amount in (0.1, 0.5)
    )
    assert 0.0 < much < little < 1.0


def test_ssim_of_flat_pictures_is_its_luminance_term() -> None:
    # Of a range of 2 that begins at -1: 0.5 and 0.25 over black.
    one, other = torch.full((1, 1, 11, 11), -0.5), torch.full((1, 1, 11, 11), -0.75)
    constant = (2 * 0.01) ** 2
    expected = (2 * 0.5 * 0.25 + constant) / (0.5**2 + 0.25**2 + constant)
    assert float(ssim(one, other)) == pytest.approx(expected, abs=1e-5)


def test_ssim_turns_negative_for_a_negative() -> None:
    places = torch.arange(32)
    picture = ((places[:, None] + places) % 2 * 2.0 - 1)[None, None]  # a chessboard: means of 0
    assert float(ssim(-picture, picture)) < -0.5


def test_frechet_distance_of_gaussians_that_are_moved_and_stretched() -> None:
    cloud = noise(20_000, 4)
    cloud = (cloud - cloud.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(cloud.T))).T
    moved = 2 * cloud + torch.tensor([3.0, 0.0, 0.0, 0.0])
    # |3|^2 of the means, and (2 - 1)^2 of each of four axes.
    assert frechet_distance(moved, cloud) == pytest.approx(9 + 4, rel=1e-3)
    assert frechet_distance(cloud, cloud) == pytest.approx(0.0, abs=1e-4)


def test_frechet_distance_knows_how_axes_lie_to_each_other() -> None:
    first = torch.diag(torch.tensor([2.0, 1.0]))
    cloud = noise(50_000, 2)
    cloud = (cloud - cloud.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(cloud.T))).T
    turned = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    # Spreads 2 and 1 against 1 and 2: (2 - 1)^2 + (1 - 2)^2.
    assert frechet_distance(cloud @ first, cloud @ first @ turned) == pytest.approx(2.0, rel=1e-3)


def test_retrieval_is_one_for_its_own_words_and_chance_for_none() -> None:
    words = torch.nn.functional.normalize(noise(400, 32), dim=-1)
    titles = [f"emoji {place}" for place in range(400)]
    assert retrieval_among(words, words, titles) == 1.0
    unrelated = torch.nn.functional.normalize(noise(400, 32, seed=1), dim=-1)
    assert retrieval_among(unrelated, words, titles) == pytest.approx(0.05, abs=0.04)


def test_retrieval_never_counts_the_same_title_against_itself() -> None:
    words = torch.nn.functional.normalize(noise(8, 4), dim=-1)
    twice = torch.cat((words, words))
    titles = [f"emoji {place % 8}" for place in range(16)]
    assert retrieval_among(twice, twice, titles, among=8) == 1.0


def test_calibration_finds_the_line_that_made_the_labels() -> None:
    logits = 3 * noise(40_000)
    real = torch.rand(40_000, generator=torch.Generator().manual_seed(1)) < torch.sigmoid(
        0.5 * logits
    )
    found = calibrated(logits[real], logits[~real])
    assert found.scale == pytest.approx(0.5, abs=0.03)
    assert found.bias == pytest.approx(0.0, abs=0.05)
    chances = found.probability(logits)
    assert expected_calibration_error(chances, real.float()) < 0.01


def test_calibration_error_of_overconfidence() -> None:
    chances = torch.full((100,), 0.95)
    labels = torch.cat((torch.ones(70), torch.zeros(30)))
    assert expected_calibration_error(chances, labels) == pytest.approx(0.25, abs=1e-6)
    assert Calibration(2.0, 1.0).probability(torch.tensor(-0.5)) == pytest.approx(0.5)
