"""How much prompt fits beside running rows is measured, not assumed."""

from __future__ import annotations

from deployments.text.step_costs import SMALLEST_CHUNK, STALL, StepCosts


def measured(decode_s: float, prompt_tokens_per_s: float) -> StepCosts:
    costs = StepCosts()
    costs.decoded(8, decode_s)
    costs.prefilled(200, 200 / prompt_tokens_per_s)
    return costs


def test_a_chunk_takes_no_longer_than_its_share_of_a_decode_run() -> None:
    chunk = measured(decode_s=0.05, prompt_tokens_per_s=2000).chunk(8, largest=512)
    assert chunk == 144
    assert chunk / 2000 <= STALL * 0.05


def test_alone_a_prompt_gets_the_whole_step() -> None:
    assert measured(0.001, 100).chunk(0, largest=512) == 512


def test_chunks_are_neither_tiny_nor_over_the_bound() -> None:
    assert measured(0.001, 100).chunk(8, largest=512) == SMALLEST_CHUNK
    assert measured(10.0, 1000).chunk(8, largest=512) == 512


def test_nothing_measured_is_no_bound() -> None:
    assert StepCosts().chunk(8, largest=512) == 512


def test_the_nearest_measured_size_stands_in() -> None:
    costs = StepCosts()
    costs.decoded(2, 1.0)
    costs.decoded(16, 4.0)
    assert (costs.decode_s(1), costs.decode_s(4), costs.decode_s(15)) == (1.0, 1.0, 4.0)
