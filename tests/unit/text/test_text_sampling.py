"""The vectorised sampler against plain python, row by row, and against its own distribution."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from bestiary.schemas.text import Sampling
from deployments.text.randomness import Draws
from deployments.text.sampling import BROKEN, RowSampler, choose

VOCABULARY = 300
PROMPT = np.array([1, 2, 3, 2], np.int64)

SETTINGS = {
    "greedy": Sampling(temperature=0),
    "temperature": Sampling(temperature=0.7),
    "top-k": Sampling(top_k=5),
    "top-p": Sampling(top_p=0.6, temperature=1.3),
    "both": Sampling(top_k=20, top_p=0.8),
    "min-p": Sampling(min_p=0.05, temperature=1.4),
    "min-p within top-k": Sampling(min_p=0.3, top_k=30),
    "min-p within top-p": Sampling(min_p=0.3, top_p=0.97),
    "bias": Sampling(logit_bias={3: 4.0, 250: -3.5, 9: 100.0, 30: 99.0}, temperature=1.2),
    "penalties": Sampling(repetition_penalty=1.5, presence_penalty=0.4, frequency_penalty=0.3),
    "everything": Sampling(
        temperature=0.9,
        top_k=40,
        top_p=0.9,
        min_p=0.1,
        repetition_penalty=1.2,
        frequency_penalty=-0.5,
        logit_bias={40: 2.5, 2: -1.0},
    ),
}


def some_logits(rows: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(scale=2, size=(rows, VOCABULARY)).astype("f4")


def reference(logits: NDArray[np.float32], sampling: Sampling, generated: list[int]) -> list[float]:
    """Biases, then in transformers' order: penalties, temperature, top-k, top-p, min-p."""
    scores = [float(one) for one in logits]
    for token, bias in sampling.logit_bias.items():
        scores[token] += bias
    for token in set(PROMPT.tolist()) | set(generated):
        penalty = sampling.repetition_penalty
        scores[token] = scores[token] / penalty if scores[token] > 0 else scores[token] * penalty
    for token, count in Counter(generated).items():
        scores[token] -= sampling.presence_penalty + count * sampling.frequency_penalty
    if sampling.temperature == 0:
        best = max(range(len(scores)), key=lambda one: scores[one])
        return [float(one == best) for one in range(len(scores))]
    order = sorted(range(len(scores)), key=lambda one: -scores[one])
    order = order[: sampling.top_k or len(order)]
    top = scores[order[0]]
    weights = [math.exp((scores[one] - top) / sampling.temperature) for one in order]
    whole, mass, kept = sum(weights), 0.0, 0
    for weight in weights:
        kept += 1
        mass += weight
        if mass >= sampling.top_p * whole:
            break
    kept = sum(weight >= sampling.min_p for weight in weights[:kept])
    mass = sum(weights[:kept])
    probabilities = [0.0] * len(scores)
    for token, weight in zip(order[:kept], weights, strict=False):
        probabilities[token] = weight / mass
    return probabilities


def row(sampling: Sampling, seed: int, generated: list[int] | None = None) -> RowSampler:
    sampler = RowSampler.begin(sampling, seed, 0, PROMPT)
    for token in generated or []:
        sampler.chose(token)
    return sampler


@pytest.mark.parametrize("name", SETTINGS)
def test_draws_follow_the_reference_distribution(name: str) -> None:
    sampling, generated, draws = SETTINGS[name], [9, 9, 30, 2], 4000
    logits = some_logits(1)
    expected = np.array(reference(logits[0], sampling, generated)) * draws
    batch = np.repeat(logits, draws, axis=0)
    drawn = choose(batch, [row(sampling, seed, generated) for seed in range(draws)])
    counts = np.bincount(drawn, minlength=VOCABULARY)

    assert counts[expected == 0].sum() == 0
    common = expected >= 5
    observed = np.append(counts[common], counts[~common].sum())
    wanted = np.append(expected[common], expected[~common].sum())
    chi_square = float(((observed - wanted) ** 2 / np.maximum(wanted, 1e-9)).sum())
    freedom = max(1, int(common.sum()))
    assert chi_square < freedom + 4 * math.sqrt(2 * freedom)  # four standard deviations


@pytest.mark.parametrize("name", SETTINGS)
def test_a_batch_equals_its_rows_one_by_one(name: str) -> None:
    logits = some_logits(len(SETTINGS), seed=4)
    together = choose(logits.copy(), [row(one, 11, [5, 5]) for one in SETTINGS.values()])
    place = list(SETTINGS).index(name)
    alone = choose(logits[place : place + 1].copy(), [row(SETTINGS[name], 11, [5, 5])])
    assert together[place] == alone[0]


def plain_choice(logits: np.ndarray, sampling: Sampling, seed: int) -> int:
    """The same draw by a sort of the whole vocabulary."""
    weights = np.exp((logits - logits.max()) / np.float32(sampling.temperature))
    whole = float(np.add.reduceat(weights, np.arange(0, len(weights), 64)).astype(float).sum())
    ids = np.lexsort((np.arange(len(weights)), -weights))
    kept = weights[ids]
    if sampling.top_k:
        kept = kept[: sampling.top_k]
        whole = float(kept.sum(dtype=np.float64))
    if sampling.top_p < 1:
        reached = np.searchsorted(np.cumsum(kept, dtype=np.float64), sampling.top_p * whole)
        kept = kept[: int(reached) + 1]
    kept = kept[kept >= np.float32(sampling.min_p)]
    cumulated = np.cumsum(kept, dtype=np.float64)
    point = Draws(seed, 0).next() * cumulated[-1]
    return int(ids[min(int(np.searchsorted(cumulated, point, side="right")), len(kept) - 1)])


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.8, top_p=0.9),
        Sampling(temperature=1.0, top_p=0.95, min_p=0.01),
        Sampling(temperature=2.0, top_p=0.95),
        Sampling(temperature=0.3, top_p=0.5),
        Sampling(temperature=1.0, top_k=50),
        Sampling(temperature=1.5, top_k=2000, top_p=0.8),
    ],
)
@pytest.mark.parametrize("spread", [0.0, 0.01, 1.0, 4.0])
def test_choices_are_those_of_a_sort_of_the_whole_vocabulary(
    sampling: Sampling, spread: float
) -> None:
    numbers = np.random.default_rng(8)
    logits = (spread * numbers.gumbel(size=(40, 20_011))).astype(np.float32)
    logits[::2] = np.round(logits[::2])  # many equal ones
    logits[1, numbers.integers(0, 20_011, 15_000)] = -np.inf  # a constraint's
    wanted = [plain_choice(one, sampling, seed) for seed, one in enumerate(logits)]
    rows = [RowSampler.begin(sampling, seed, 0, PROMPT) for seed in range(len(logits))]
    assert choose(logits, rows) == wanted


def test_top_p_keeps_the_likeliest_token_however_small_it_is() -> None:
    logits = np.zeros((1, VOCABULARY), np.float32)
    drawn = choose(logits, [row(Sampling(top_p=1e-6), 3)])
    assert drawn == [0]


def test_top_k_over_the_vocabulary_is_no_limit() -> None:
    logits = some_logits(1)
    drawn = {choose(logits.copy(), [row(Sampling(top_k=10_000), seed)])[0] for seed in range(300)}
    assert len(drawn) > 50


def test_equal_logits_are_equally_likely_under_top_k() -> None:
    logits = np.zeros((1, VOCABULARY), np.float32)
    drawn = {choose(logits.copy(), [row(Sampling(top_k=4), seed)])[0] for seed in range(200)}
    assert drawn == {0, 1, 2, 3}


def test_almost_no_temperature_is_greedy() -> None:
    logits = some_logits(1)
    assert choose(logits.copy(), [row(Sampling(temperature=1e-6), 1)]) == [logits.argmax()]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["greedy", "temperature", "everything"])
def test_a_broken_row_is_named_and_breaks_no_other(bad: float, name: str) -> None:
    logits = some_logits(3)
    whole = choose(logits.copy(), [row(SETTINGS[name], seed) for seed in range(3)])
    logits[1, 77] = bad
    drawn = choose(logits, [row(SETTINGS[name], seed) for seed in range(3)])
    assert drawn == [whole[0], BROKEN, whole[2]]


def test_a_row_of_minus_infinity_is_broken() -> None:
    assert choose(np.full((1, 8), -np.inf, np.float32), [row(SETTINGS["greedy"], 0)]) == [BROKEN]


def test_masked_tokens_are_never_drawn() -> None:
    logits = np.full((1, VOCABULARY), -np.inf, np.float32)
    logits[0, [4, 200]] = 1.0
    drawn = {choose(logits.copy(), [row(Sampling(), seed)])[0] for seed in range(50)}
    assert drawn == {4, 200}


def test_a_bias_of_a_hundred_chooses_and_of_minus_a_hundred_forbids() -> None:
    logits = some_logits(1)
    best = int(logits.argmax())
    only = Sampling(logit_bias={17: 100.0})
    never = Sampling(temperature=0, logit_bias={best: -100.0})
    assert {choose(logits.copy(), [row(only, seed)])[0] for seed in range(50)} == {17}
    assert choose(logits.copy(), [row(never, 0)]) != [best]


def test_min_p_of_one_leaves_the_likeliest_alone() -> None:
    logits = some_logits(1)
    sampling = Sampling(min_p=1.0, temperature=2)
    drawn = {choose(logits.copy(), [row(sampling, seed)])[0] for seed in range(50)}
    assert drawn == {int(logits.argmax())}


def test_penalties_grow_with_a_long_completion() -> None:
    sampler = row(Sampling(temperature=0, frequency_penalty=1.0), 0, list(range(290)))
    logits = np.zeros((1, VOCABULARY), np.float32)
    assert choose(logits, [sampler]) == [290]
