"""What the engine's runs have cost lately, and how much prompt fits into a step.

Running rows wait for the prompts in their step, so how much is computed is set by the
time that it may take: `STALL` times a decode run, and more where more requests wait
than run: few rows to decode make poor steps, and many are waiting for their first token.
All of it is measured, none assumed; where nothing was measured yet (or the clock stands
still, as in tests) a step takes one run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

SMOOTHING = 0.2  # weight of the newest measurement
STALL = 1.25  # so that the gap between two tokens stays well under three decode runs
SMALLEST_CHUNK = 32  # below it a run's fixed cost dominates
MOST_CHUNKS = 4  # of full size, in one step
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


class StepCosts:
    """Seconds of each kind of run."""

    def __init__(self) -> None:
        self._decode: dict[int, Mean] = {}  # by rows
        # By tokens of one row; what the drafting took is in it.
        self._check: dict[DraftSource, dict[int, Mean]] = {source: {} for source in DraftSource}
        self._prompt_token = Mean()

    def decoded(self, rows: int, seconds: float) -> None:
        self._decode.setdefault(rows, Mean()).add(seconds)

    def checked(self, source: DraftSource, tokens: int, seconds: float) -> None:
        self._check[source].setdefault(tokens, Mean()).add(seconds)

    def prefilled(self, tokens: int, seconds: float) -> None:
        if tokens >= SMALLEST_CHUNK:
            self._prompt_token.add(seconds / tokens)

    def decode_s(self, rows: int) -> float | None:
        """Of a run over so many rows, or of the nearest count that was measured."""
        return _nearest(self._decode, rows)

    def check_s(self, source: DraftSource, tokens: int) -> float | None:
        """Of drafting and checking in one row; `tokens` are those of the checking run."""
        return _nearest(self._check[source], tokens)

    def budget(self, decoding: int, waiting: int, chunk: int) -> int:
        """How many prompt tokens may be computed in a step beside `decoding` rows.

        `waiting` requests have no row yet; `chunk` is the most that one run takes.
        """
        largest = MOST_CHUNKS * chunk
        decode_s, token_s = self.decode_s(decoding), self._prompt_token.value
        if decoding == 0:
            return largest
        if not decode_s or not token_s:
            return chunk
        allowed_s = STALL * decode_s * max(1.0, waiting / decoding)
        fitting = math.floor(allowed_s / token_s) // CHUNK_STEP * CHUNK_STEP
        return min(largest, max(SMALLEST_CHUNK, fitting))


def _nearest(measured: dict[int, Mean], size: int) -> float | None:
    if not measured:
        return None
    return measured[min(measured, key=lambda known: (abs(known - size), known))].value
