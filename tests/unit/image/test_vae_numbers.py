"""Fidelity and the latents' distribution, against what others compute."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from bestiary.errors import KernelError
from deployments.image.drawing import Draws
from deployments.image.pixels import to_floats
from deployments.image.vae.fidelity import fidelity_of
from deployments.image.vae.prior import LatentPrior, load_prior
from zoo.image.measures import psnr, ssim

SHAPE = (2, 3, 3)
SIZE = math.prod(SHAPE)


@pytest.mark.parametrize("noise", [3, 40])
def test_fidelity_is_what_the_zoo_measures(noise):
    random = np.random.default_rng(noise)
    original = random.integers(0, 256, (20, 24, 3)).astype(np.uint8)
    made = (original + random.normal(0, noise, original.shape)).clip(0, 255).astype(np.uint8)
    found = fidelity_of(made, original)
    pair = [torch.from_numpy(to_floats(one))[None].double() for one in (made, original)]
    assert found.psnr == pytest.approx(float(psnr(*pair)), abs=1e-3)
    assert found.ssim == pytest.approx(float(ssim(*pair)), abs=1e-5)


def test_nothing_lost():
    same = np.full((6, 6, 1), 7, np.uint8)  # smaller than the window
    found = fidelity_of(same, same)
    assert (found.mse, found.psnr) == (0, math.inf)
    assert found.ssim == pytest.approx(1)


@pytest.mark.parametrize("truncation", [0.05, 0.7, 1.5])
def test_truncated_draws_are_normal_within_their_bound(truncation):
    drawn = Draws(1).normal((20_000,), truncation).astype(np.float64)
    assert np.abs(drawn).max() <= truncation
    # Variance of a truncated normal: 1 - 2 t phi(t) / (2 Phi(t) - 1).
    density = math.exp(-(truncation**2) / 2) / math.sqrt(2 * math.pi)
    mass = math.erf(truncation / math.sqrt(2))
    assert drawn.var() == pytest.approx(1 - 2 * truncation * density / mass, rel=0.05)
    assert abs(drawn.mean()) < 0.03 * truncation


def test_neighbouring_seeds_have_nothing_in_common():
    one, other = (Draws(seed).normal((4000,)) for seed in (1, 2))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.05
    assert Draws(2**62).normal((2,)).tolist() == Draws(2**62).normal((2,)).tolist()


def prior() -> LatentPrior:
    random = np.random.default_rng(0)
    mean, components = random.normal(size=SIZE), random.normal(size=(4, SIZE))
    return LatentPrior(
        SHAPE,
        mean.astype(np.float32),
        components.astype(np.float32),
        np.full(SIZE, 0.3, np.float32),
    )


def test_samples_and_their_neighbours_have_the_priors_covariance():
    own = prior()
    samples = [own.sample(Draws(seed)) for seed in range(4000)]
    near = [own.near(one, 0.6, Draws(10_000 + i)) for i, one in enumerate(samples)]
    expected = own.components.T @ own.components + np.diag(own.residual**2)
    for drawn in (samples, near):
        flat = np.stack(drawn).reshape(len(drawn), -1)
        np.testing.assert_allclose(flat.mean(0), own.mean, atol=0.15)
        np.testing.assert_allclose(np.cov(flat.T), expected, atol=0.6)


def test_without_a_file_latents_are_normal_when_scaled(tmp_path: Path):
    own = load_prior(tmp_path, SHAPE, scaling=0.25, shift=1.0)
    drawn = np.stack([own.sample(Draws(seed)) for seed in range(500)])
    scaled = (drawn - 1.0) * 0.25
    assert abs(scaled.mean()) < 0.05
    assert scaled.std() == pytest.approx(1, abs=0.05)


def test_a_prior_of_another_model_is_refused(tmp_path: Path):
    wrong = {name: np.zeros(5, np.float16) for name in ("mean", "components", "residual")}
    save_file(wrong, tmp_path / "latent_prior.safetensors")
    with pytest.raises(KernelError, match="is not of latents"):
        load_prior(tmp_path, SHAPE, 1.0, 0.0)
