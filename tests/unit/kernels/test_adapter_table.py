"""A batch sorted by adapter: a place for every row, and all other places count nothing."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.kernels.adapter_table import adapter_table


@pytest.mark.parametrize(
    "slots",
    [[3], [1, 2, 3, 4], [4, 1, 4, 4], [0, 2, 0, 2, 5], [0, 1], [5, 5, 0, 0, 0, 0, 5, 6]],
)
def test_every_row_with_an_adapter_is_worked_on_with_it_and_alone_at_its_place(
    slots: list[int],
) -> None:
    table = adapter_table(np.array(slots))
    adapted = [row for row, slot in enumerate(slots) if slot]
    for row in adapted:
        line, column = table.places[row]
        assert table.first_slot + line == slots[row]
        assert table.members[line, column] == row
        assert table.filled[line, column]
    assert table.filled.sum() == len(adapted)
    assert len({tuple(table.places[row]) for row in adapted}) == len(adapted)


@pytest.mark.parametrize("slots", [[0], [0, 0, 0], [0, 2, 1], [0, 3, 3, 0, 4], [1, 2, 0]])
def test_rows_without_one_get_a_place_that_counts_nothing_and_reads_one_of_them(
    slots: list[int],
) -> None:
    table = adapter_table(np.array(slots))
    for row in np.flatnonzero(np.array(slots) == 0):
        place = tuple(table.places[row])
        assert not table.filled[place]
        assert slots[table.members[place]] == 0


def test_without_adapters_there_is_one_place_for_all() -> None:
    table = adapter_table(np.zeros(16, np.int64))
    assert table.is_plain
    assert table.members.shape == (1, 1)


def test_only_the_slots_between_the_lowest_and_the_highest_are_read() -> None:
    table = adapter_table(np.array([7, 0, 5]))
    assert (table.first_slot, *table.members.shape) == (5, 3, 1)
    assert not table.is_plain
