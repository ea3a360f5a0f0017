"""Which inputs share a run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deployments.kernels.token_batches import PADDING_WORTH_A_RUN, plan_batches

LENGTHS = st.lists(st.integers(1, 300), max_size=200)


def _padded(batch: list[int], lengths: list[int]) -> int:
    return len(batch) * max(lengths[position] for position in batch)


@given(lengths=LENGTHS, budget=st.integers(64, 1000))
def test_every_input_runs_exactly_once(lengths: list[int], budget: int) -> None:
    planned = [position for batch in plan_batches(lengths, budget) for position in batch]
    assert sorted(planned) == list(range(len(lengths)))


@given(lengths=LENGTHS, budget=st.integers(64, 1000))
def test_a_batch_keeps_to_its_budget_unless_one_input_breaks_it(
    lengths: list[int], budget: int
) -> None:
    for batch in plan_batches(lengths, budget):
        assert len(batch) == 1 or _padded(batch, lengths) <= budget


@given(lengths=LENGTHS, budget=st.integers(64, 1000))
def test_little_of_a_batch_is_padding(lengths: list[int], budget: int) -> None:
    for batch in plan_batches(lengths, budget):
        tokens = sum(lengths[position] for position in batch)
        assert _padded(batch, lengths) - tokens <= PADDING_WORTH_A_RUN


def test_inputs_of_like_length_share_a_batch() -> None:
    assert plan_batches([10, 100, 11, 90], 200) == [[1, 3], [2, 0]]
