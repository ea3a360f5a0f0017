"""Guessing ahead changes when tokens come, never which."""

from __future__ import annotations

from dataclasses import replace

import pytest
from text_fakes import Driver, FakeDecoder, Oracle, prepared, solo

from bestiary.errors import EngineFailure
from deployments.text.ngrams import NgramIndex
from deployments.text.speculation import Draft, RowSpeculation, Speculation
from deployments.text.step_costs import DraftSource, StepCosts


class Periodic(FakeDecoder):
    """Says 10, 11, 12, 13, 10, ... after anything: text that can be looked up."""

    def logits_of(self, history: tuple[int, ...]) -> object:
        logits = super().logits_of(history)
        logits[10 + len(history) % 4] += 100
        return logits


def decode_runs(driver: Driver) -> int:
    """Runs after the prompt's."""
    return len(driver.decoder.runs) - 1


def test_what_followed_an_ngram_last_time_is_guessed() -> None:
    index = NgramIndex([1, 2, 3, 4, 9, 9, 1, 2, 3])
    assert index.continuation(3) == [4, 9, 9]
    assert index.continuation(1) == [4]


def test_the_latest_place_and_the_longest_match_win() -> None:
    assert NgramIndex([7, 1, 2, 5, 7, 1, 2, 6, 7, 1, 2]).continuation(1) == [6]
    assert NgramIndex([8, 7, 1, 2, 5, 9, 7, 1, 2, 6, 8, 7, 1, 2]).continuation(1) == [5]


def test_text_without_repetition_gives_no_guess() -> None:
    assert NgramIndex([1, 2, 3, 4, 5]).continuation(4) == []
    assert NgramIndex([]).continuation(4) == []


def test_an_index_sees_what_is_appended() -> None:
    tokens = [1, 2, 3, 8]
    index = NgramIndex(tokens)
    assert index.continuation(2) == []
    tokens += [9, 1, 2, 3]
    assert index.continuation(2) == [8, 9]


@pytest.mark.parametrize("temperature", [0.0, 1.3])
@pytest.mark.parametrize("stop", [(), ("uv",)])
def test_repetitive_text_is_the_same_and_takes_fewer_runs(
    temperature: float, stop: tuple[str, ...]
) -> None:
    request = prepared((10, 11, 12, 13), max_tokens=40, temperature=temperature, stop=list(stop))
    plain = Driver(Periodic(1))
    fast = Driver(Periodic(1), speculate=6)
    for driver in (plain, fast):
        driver.engine.submit(0, request)
        driver.drain()
    assert fast.tokens(0) == plain.tokens(0)
    assert fast.text(0) == plain.text(0)
    if not stop:
        assert decode_runs(fast) * 3 < decode_runs(plain)
        counts = fast.engine.counts()
        assert 0 < counts.accepted_tokens <= counts.drafted_tokens


@pytest.mark.parametrize("wrong_at", [0, 1, 3, 1000])
def test_a_drafter_that_is_wrong_changes_nothing(wrong_at: int) -> None:
    decoder = FakeDecoder(3)
    driver = Driver(decoder, speculate=5, drafter=Oracle(decoder, wrong_at))
    requests = [prepared((ticket, 3), max_tokens=20 + ticket) for ticket in range(3)]
    for ticket, request in enumerate(requests):
        driver.engine.submit(ticket, request)
    driver.drain()
    for ticket, request in enumerate(requests):
        assert driver.tokens(ticket) == solo(request, driver)


def test_a_draft_never_goes_past_the_requests_or_the_rows_end() -> None:
    decoder = FakeDecoder(1, max_length=16)
    driver = Driver(decoder, speculate=8, drafter=Oracle(decoder))
    for ticket, max_tokens in enumerate((1, 2, 3, 14)):
        driver.engine.submit(ticket, prepared((1, 2), max_tokens=max_tokens))
        driver.drain()
        assert len(driver.tokens(ticket)) == max_tokens


def test_a_failing_check_ends_its_own_request_only() -> None:
    decoder = FakeDecoder(2)
    driver = Driver(decoder, speculate=4, drafter=Oracle(decoder))
    doomed, other = prepared((1, 2), max_tokens=20), prepared((3, 4), max_tokens=20)
    history = (1, 2, *solo(doomed, driver)[:7])
    decoder.failing.add(history)
    driver.engine.submit(0, doomed)
    driver.engine.submit(1, other)
    driver.drain()
    assert set(driver.errors) == {0}
    assert driver.tokens(1) == solo(other, driver)
    assert driver.engine.holds_nothing


def test_where_checks_are_not_exact_only_unseeded_draws_are_speculated_on() -> None:
    decoder = Periodic(1)
    driver = Driver(decoder, speculate=6, checks_are_exact=False)
    request = prepared((10, 11, 12, 13), max_tokens=40)
    driver.engine.submit(0, request)
    driver.drain()
    assert driver.engine.counts().drafted_tokens == 0
    driver.engine.submit(1, replace(request, reproducible=False))
    driver.drain()
    assert driver.engine.counts().accepted_tokens > 0


class FailingDrafter:
    """Fails in one row."""

    def begin_step(self) -> None:
        """It reads nothing."""

    def draft(self, row: int, text: RowSpeculation, most: int) -> list[int]:
        if row == 0:
            raise RuntimeError("the draft graph was told to fail")
        return []


def test_a_failing_drafter_ends_its_own_request_only() -> None:
    driver = Driver(FakeDecoder(2), speculate=4, drafter=FailingDrafter())
    for ticket in range(2):
        driver.engine.submit(ticket, prepared((ticket, 8), max_tokens=5))
    driver.step(2)
    assert set(driver.errors) == {0}
    assert isinstance(driver.errors[0], EngineFailure)


def measured(decode_s: float, check_s: float) -> Speculation:
    costs = StepCosts()
    costs.decoded(1, decode_s)
    costs.checked(DraftSource.LOOKUP, 5, check_s)
    return Speculation(4, costs)


def test_a_guess_is_made_only_where_it_pays() -> None:
    row = RowSpeculation([1, 2, 3, 4, 5, 6, 1, 2, 3])
    assert measured(1.0, 1.5).draft(0, row, room=10, rows=1) is not None
    row = RowSpeculation([1, 2, 3, 4, 5, 6, 1, 2, 3])
    assert measured(1.0, 9.0).draft(0, row, room=10, rows=1) is None


def test_many_rows_share_a_run_that_a_single_draft_must_beat() -> None:
    row = RowSpeculation([1, 2, 3, 4, 5, 6, 1, 2, 3])
    costs = StepCosts()
    costs.decoded(16, 2.0)  # a token costs an eighth
    costs.checked(DraftSource.LOOKUP, 5, 1.5)
    assert Speculation(4, costs).draft(0, row, room=10, rows=16) is None


def test_a_row_whose_guesses_fail_rests_longer_each_time() -> None:
    speculation = measured(1.0, 1.5)
    row = RowSpeculation([1, 2, 3, 4, 5, 6, 1, 2, 3])
    rests = []
    for _ in range(4):
        speculation.checked(row, Draft([3, 4, 5, 1], DraftSource.LOOKUP), accepted=0, rows=1)
        rest = 0
        while row.resting:
            row.append(0)
            rest += 1
        rests.append(rest)
    assert rests == [1, 2, 4, 8]
