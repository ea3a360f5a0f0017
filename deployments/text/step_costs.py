"""What the engine's runs have cost lately, and how much prompt fits into a step.

Running rows wait for the prompts in their step, so how much is computed is set by the
time that it may take: `STALL` times a decode run, and more where many requests wait:
few rows to decode make poor steps, and whoever waits has no token at all yet. A prompt run
costs so much whatever its length, and so much a token: both are fitted to the runs there
were. All of it is measured, none assumed; where nothing was measured yet (or the clock
stands still, as in tests) a step takes one run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

SMOOTHING = 0.2  # weight of the newest measurement
STALL = 1.25  # so that the gap between two tokens stays well under three decode runs
URGENCY = 8.0  # a request that waits weighs as much as so many that run
FORGETTING = 0.95  # of what is known of prompt runs, with each new one
SMALLEST_CHUNK = 32  # tokens: below it a run's fixed cost dominates
MOST_CHUNKS = 4  # of full size, in one step
SMALLEST_TOGETHER = 64  # where prompts are read together a run's fixed cost is higher,
MOST_TOGETHER = 12  # and a token's lower
CHUNK_STEP = 16  # sizes are multiples: each new size costs a set of bindings


class DraftSource(StrEnum):
    """Who guessed; a model that drafts takes time of its own."""

    LOOKUP = "lookup"
    MODEL = "model"


@dataclass(slots=True)
class Mean:
    """An exponential moving average; None until something was measured."""

    value: float | None = None

    def add(self, measured: float) -> None:
        if self.value is None:
            self.value = measured
        else:
            self.value += SMOOTHING * (measured - self.value)


class Line:
    """seconds = fixed + each * tokens, by least squares over the latest runs.

    Where they were all of about one length, it is all `each`.
    """

    def __init__(self) -> None:
        self._runs = self._tokens = self._seconds = self._squares = self._products = 0.0

    def add(self, tokens: int, seconds: float) -> None:
        kept = FORGETTING
        self._runs = kept * self._runs + 1
        self._tokens = kept * self._tokens + tokens
        self._seconds = kept * self._seconds + seconds
        self._squares = kept * self._squares + tokens * tokens
        self._products = kept * self._products + tokens * seconds

    def tokens_in(self, seconds: float) -> float | None:
        """How many tokens a run of so long has; None until something was measured."""
        if self._seconds <= 0:
            return None
        each = self._seconds / self._tokens
        spread = self._squares * self._runs - self._tokens**2
        fixed = 0.0
        if spread > 0.01 * self._tokens**2:
            slope = (self._products * self._runs - self._tokens * self._seconds) / spread
            if 0 < slope < each:
                each = slope
                fixed = (self._seconds - slope * self._tokens) / self._runs
        return (seconds - fixed) / each


class StepCosts:
    """Seconds of each kind of run."""

    def __init__(self) -> None:
        self._decode: dict[int, Mean] = {}  # by rows
        # By tokens of one row; what the drafting took is in it.
        self._check: dict[DraftSource, dict[int, Mean]] = {source: {} for source in DraftSource}
        self._prompts = Line()

    def decoded(self, rows: int, seconds: float) -> None:
        self._decode.setdefault(rows, Mean()).add(seconds)

    def checked(self, source: DraftSource, tokens: int, seconds: float) -> None:
        self._check[source].setdefault(tokens, Mean()).add(seconds)

    def prefilled(self, tokens: int, seconds: float) -> None:
        if tokens >= SMALLEST_CHUNK:
            self._prompts.add(tokens, seconds)

    def decode_s(self, rows: int) -> float | None:
        """Of a run over so many rows, or of the nearest count that was measured."""
        return _nearest(self._decode, rows)

    def check_s(self, source: DraftSource, tokens: int) -> float | None:
        """Of drafting and checking in one row; `tokens` are those of the checking run."""
        return _nearest(self._check[source], tokens)

    def budget(self, decoding: int, waiting: int, chunk: int, *, together: bool = False) -> int:
        """How many prompt tokens may be computed in a step beside `decoding` rows.

        `waiting` requests have no row yet; `chunk` is the most that one run takes.
        `together`: of a graph that reads several prompts in a run, and long ones at once.
        """
        largest = (MOST_TOGETHER if together else MOST_CHUNKS) * chunk
        smallest = SMALLEST_TOGETHER if together else SMALLEST_CHUNK
        if decoding == 0:
            return largest
        decode_s = self.decode_s(decoding)
        if not decode_s:
            return chunk
        tokens = self._prompts.tokens_in(STALL * decode_s * max(1.0, URGENCY * waiting / decoding))
        if tokens is None:
            return chunk
        fitting = math.floor(tokens) // CHUNK_STEP * CHUNK_STEP
        return min(largest, max(smallest, fitting))


def _nearest(measured: dict[int, Mean], size: int) -> float | None:
    if not measured:
        return None
    return measured[min(measured, key=lambda known: (abs(known - size), known))].value
