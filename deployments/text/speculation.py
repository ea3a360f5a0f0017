"""Which rows guess ahead in this step, and how well guessing has served each.

A draft of tokens is checked by one run over all of them: the row then chooses token
after token from those logits, exactly as it would have, until it chooses another than
was guessed. So speculation (arXiv:2211.17192) changes no answer: every token is the
row's own choice, greedy or drawn, from the logits that follow its own history. What it
may change is speed, so it is measured: a row guesses only while the tokens that it
gains are worth more than what the check costs beyond a plain step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from deployments.text.ngrams import NgramIndex
from deployments.text.step_costs import DraftSource, StepCosts

FIRST_GUESS = 0.6  # share of a draft that is accepted, before anything was measured
MEMORY = 0.25  # weight of the newest draft
LONGEST_PAUSE = 64  # tokens; doubled with every draft that did not pay
MARGIN = 1.05  # a gain must be clear of measurement noise


@dataclass(frozen=True, slots=True)
class Draft:
    """Guessed tokens; never empty."""

    tokens: list[int]
    source: DraftSource


class Drafter(Protocol):
    """Guesses for rows of text that have no repetition in them."""

    def begin_step(self) -> None:
        """Rows are asked for drafts after it, each at most once."""
        ...

    def draft(self, row: int, text: RowSpeculation, most: int) -> list[int]:
        """Up to `most` tokens after those of `text`, whose KV is in `row` but for the last."""
        ...


class RowSpeculation:
    """One sequence's drafts and their luck."""

    def __init__(self, tokens: list[int]) -> None:
        self.tokens = tokens  # prompt and answer so far
        self._index = NgramIndex(tokens)
        self._accepted_share = FIRST_GUESS
        self._pause = 0
        self._next_pause = 1

    def append(self, token: int) -> None:
        self.tokens.append(token)
        self._pause = max(0, self._pause - 1)

    def lookup(self, most: int) -> list[int]:
        return self._index.continuation(most)

    @property
    def resting(self) -> bool:
        return self._pause > 0

    def expected(self, drafted: int) -> float:
        """Tokens of such a draft that will be accepted."""
        return self._accepted_share * drafted

    def checked(self, drafted: int, accepted: int) -> None:
        self._accepted_share += MEMORY * (accepted / drafted - self._accepted_share)
        if accepted > 0:
            self._next_pause = 1

    def did_not_pay(self) -> None:
        """Rests, longer each time, then tries again with an open mind."""
        self._pause = self._next_pause
        self._next_pause = min(LONGEST_PAUSE, 2 * self._next_pause)
        self._accepted_share = max(self._accepted_share, FIRST_GUESS / 2)


class Speculation:
    """`most` tokens a draft; 0: nobody guesses. `drafter` helps where look-up finds nothing."""

    def __init__(self, most: int, costs: StepCosts, drafter: Drafter | None = None) -> None:
        self._most = most
        self._costs = costs
        self._drafter = drafter
        self.drafted = 0  # tokens, since the start
        self.accepted = 0

    @property
    def off(self) -> bool:
        return self._most == 0

    def begin_step(self) -> None:
        """Every row may be asked once after it."""
        if self._drafter is not None:
            self._drafter.begin_step()

    def draft(self, row: int, speculation: RowSpeculation, room: int, rows: int) -> Draft | None:
        """What the row should have checked in this step; None where it should just decode.

        `room`: how many tokens may follow at most. `rows` decode in this step.
        """
        most = min(self._most, room)
        if most < 1 or speculation.resting:
            return None
        found = speculation.lookup(most)
        if found:
            return self._paying(speculation, Draft(found, DraftSource.LOOKUP), rows)
        if self._drafter is None or not self._worth(speculation, DraftSource.MODEL, most, rows):
            return None
        found = self._drafter.draft(row, speculation, most)
        return Draft(found, DraftSource.MODEL) if found else None

    def checked(self, speculation: RowSpeculation, draft: Draft, accepted: int, rows: int) -> None:
        """What became of a draft."""
        drafted = len(draft.tokens)
        self.drafted += drafted
        self.accepted += accepted
        speculation.checked(drafted, accepted)
        if not self._pays(accepted, draft.source, drafted, rows):
            speculation.did_not_pay()

    def _paying(self, speculation: RowSpeculation, draft: Draft, rows: int) -> Draft | None:
        return draft if self._worth(speculation, draft.source, len(draft.tokens), rows) else None

    def _worth(
        self, speculation: RowSpeculation, source: DraftSource, drafted: int, rows: int
    ) -> bool:
        worth = self._pays(speculation.expected(drafted), source, drafted, rows)
        if not worth:
            speculation.did_not_pay()
        return worth

    def _pays(self, gained: float, source: DraftSource, drafted: int, rows: int) -> bool:
        decode_s = self._costs.decode_s(rows)
        check_s = self._costs.check_s(source, drafted + 1)
        if not decode_s or not check_s:
            return True  # not measured yet: try
        return (gained + 1) * decode_s / rows > MARGIN * check_s
