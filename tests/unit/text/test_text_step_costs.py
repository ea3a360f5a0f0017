"""How much prompt fits beside running rows is measured, not assumed."""

from __future__ import annotations

from deployments.text.step_costs import MOST_CHUNKS, SMALLEST_CHUNK, STALL, StepCosts


def measured(decode_s: float, prompt_tokens_per_s: float) -> StepCosts:
    costs = StepCosts()
    costs.decoded(8, decode_s)
    costs.prefilled(200, 200 / prompt_tokens_per_s)
    return costs


def test_prompts_take_no_longer_than_their_share_of_a_decode_run() -> None:
    budget = measured(decode_s=0.05, prompt_tokens_per_s=2000).budget(8, waiting=1, chunk=128)
    assert budget == 112
    assert budget / 2000 <= STALL * 0.05


def test_where_more_wait_than_run_prompts_get_more() -> None:
    costs = measured(decode_s=0.05, prompt_tokens_per_s=2000)
    assert costs.budget(8, waiting=1, chunk=128) == 112
    assert costs.budget(8, waiting=2, chunk=128) == 240
    assert costs.budget(8, waiting=1000, chunk=128) == MOST_CHUNKS * 128


def test_alone_prompts_get_the_whole_step() -> None:
    assert measured(0.001, 100).budget(0, waiting=1, chunk=128) == MOST_CHUNKS * 128


def test_budgets_are_neither_tiny_nor_over_the_bound() -> None:
    assert measured(0.001, 100).budget(8, waiting=1, chunk=128) == SMALLEST_CHUNK
    assert measured(10.0, 1000).budget(8, waiting=1, chunk=128) == MOST_CHUNKS * 128


def test_what_a_run_costs_whatever_its_length_is_not_taken_for_its_tokens() -> None:
    costs = StepCosts()
    costs.decoded(8, 0.04)
    for tokens in (64, 512, 128, 256):
        costs.prefilled(tokens, 0.015 + tokens / 1000)
    assert costs.budget(8, waiting=2, chunk=128) == 80  # 0.1 s, of which 0.015 whatever is read


def test_where_nothing_was_measured_a_step_has_one_run() -> None:
    assert StepCosts().budget(8, waiting=1, chunk=128) == 128


def test_the_nearest_measured_size_stands_in() -> None:
    costs = StepCosts()
    costs.decoded(2, 1.0)
    costs.decoded(16, 4.0)
    assert (costs.decode_s(1), costs.decode_s(4), costs.decode_s(15)) == (1.0, 1.0, 4.0)
