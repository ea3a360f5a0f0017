"""How long a request that arrives now would wait, judged by what the engine did lately.

Knows seconds and counts only.
"""

from __future__ import annotations

import math

MEMORY_S = 30.0  # busy seconds after which an observation weighs 1/e


class Throughput:
    """Remembers recent busy time; idle time changes nothing."""

    def __init__(self) -> None:
        self._busy_s = 0.0
        self._finished = 0.0  # sequences
        self._prefill_s = 0.0
        self._prefilled = 0.0  # prompt tokens

    def prefilled(self, tokens: int, seconds: float) -> None:
        self._prefill_s += seconds
        self._prefilled += tokens

    def stepped(self, seconds: float, finished: int) -> None:
        """One step of the engine: how long it took, and how many sequences ended in it."""
        kept = math.exp(-seconds / MEMORY_S)
        self._busy_s = self._busy_s * kept + seconds
        self._finished = self._finished * kept + finished
        self._prefill_s *= kept
        self._prefilled *= kept

    def wait_s(self, rows_short: int, prompt_tokens: int) -> float:
        """Until `rows_short` sequences have ended and `prompt_tokens` have been computed.

        Before the first sequence has ended, the busy time so far stands for its length:
        too little, but never a wait that is made up.
        """
        per_row = self._busy_s / max(self._finished, 1.0)
        per_token = self._prefill_s / self._prefilled if self._prefilled else 0.0
        return max(0, rows_short) * per_row + prompt_tokens * per_token
