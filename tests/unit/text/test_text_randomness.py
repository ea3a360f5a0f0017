"""A draw is a function of seed, candidate and position."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.text.randomness import Draws, random_seed


def numbers(seed: int, candidate: int = 0, count: int = 20) -> list[float]:
    draws = Draws(seed, candidate)
    return [draws.next() for _ in range(count)]


@pytest.mark.parametrize("position", range(10))
def test_a_resumed_row_draws_what_it_would_have_drawn(position: int) -> None:
    resumed = Draws(3, 1, position)
    assert [resumed.next() for _ in range(5)] == numbers(3, 1)[position : position + 5]


def test_seeds_and_candidates_draw_apart() -> None:
    streams = [numbers(seed, candidate) for seed in (0, 1, -1) for candidate in (0, 1)]
    assert len({tuple(one) for one in streams}) == len(streams)


def test_candidate_one_of_a_seed_is_not_candidate_zero_of_the_next() -> None:
    assert numbers(7, 1) != numbers(8, 0)


def test_draws_are_uniform() -> None:
    drawn = np.array(numbers(5, count=20_000))
    counts, _ = np.histogram(drawn, bins=20, range=(0, 1))
    chi_square = ((counts - 1000) ** 2 / 1000).sum()
    assert chi_square < 43.8  # 19 degrees of freedom, p = 0.001


def test_requests_without_a_seed_get_different_ones() -> None:
    assert len({random_seed() for _ in range(100)}) == 100
