"""The expected wait, from what the engine did lately."""

from __future__ import annotations

import pytest

from deployments.text.throughput import Throughput


def test_an_engine_that_did_nothing_promises_nothing() -> None:
    assert Throughput().wait_s(rows_short=3, prompt_tokens=100) == 0


def test_a_wait_for_rows_follows_the_rate_at_which_they_came_free() -> None:
    seen = Throughput()
    for _ in range(1000):
        seen.stepped(seconds=0.1, finished=0)
        seen.stepped(seconds=0.1, finished=1)
    assert seen.wait_s(rows_short=3, prompt_tokens=0) == pytest.approx(0.6, rel=0.02)
    assert seen.wait_s(rows_short=-2, prompt_tokens=0) == 0


def test_a_wait_for_prompts_follows_the_prefill_rate() -> None:
    seen = Throughput()
    seen.prefilled(tokens=100, seconds=0.5)
    assert seen.wait_s(rows_short=0, prompt_tokens=10) == pytest.approx(0.05)


def test_before_the_first_sequence_ends_the_busy_time_stands_for_its_length() -> None:
    seen = Throughput()
    seen.stepped(seconds=2.0, finished=0)
    assert seen.wait_s(rows_short=1, prompt_tokens=0) == pytest.approx(2.0)


def test_old_times_are_forgotten() -> None:
    seen = Throughput()
    for _ in range(100):
        seen.stepped(seconds=1.0, finished=1)
    for _ in range(2000):
        seen.stepped(seconds=0.1, finished=1)
    assert seen.wait_s(rows_short=1, prompt_tokens=0) == pytest.approx(0.1, rel=0.05)
