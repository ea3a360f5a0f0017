"""When prompts are copied into the prefix cache: behind their first token, a little a step.

Copying is slow where memory was never touched (100 ms for 1,000 tokens in a virtual
machine whose host has to find the pages first), so nobody's first token waits for it, and
running rows feel little of it. Whatever is not copied yet is copied when the row is given up.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from deployments.text.generation import Generation, Ticket
from deployments.text.prefix_cache import PrefixCache
from deployments.text.prefix_keys import BLOCK
from deployments.text.rows import Occupant, Rows
from deployments.text.scheduler import Prefill

log = logging.getLogger(__name__)

TOKENS_A_STEP = 4 * BLOCK


@dataclass(slots=True)
class _Pending:
    occupant: Occupant
    kept: int  # tokens


class PrefixKeeping:
    """One thread calls it."""

    def __init__(self, cache: PrefixCache, rows: Rows) -> None:
        self._cache = cache
        self._rows = rows
        self._pending: list[_Pending] = []
        self._kept: dict[Ticket, int] = {}  # tokens, of prompts that are half computed

    def add(self, occupant: Occupant) -> None:
        """Its prompt is computed, and it decodes from now on."""
        kept = self._kept.get(occupant.generation.ticket, 0)
        self._pending.append(_Pending(occupant, kept))

    def keep_some(self, prefills: Iterable[Prefill]) -> None:
        """Copies what was computed of `prefills`, and up to `TOKENS_A_STEP` tokens of prompts
        whose first token is out."""
        self._kept = {one.generation.ticket: self._half(one) for one in prefills}
        room = TOKENS_A_STEP
        while self._pending and room > 0:
            first = self._pending[0]
            length = len(first.occupant.generation.request.prompt)
            stop = min(length, first.kept + room)
            room -= stop - first.kept
            self._keep(first.occupant, stop)
            first.kept = stop
            if stop == length:
                self._pending.pop(0)

    def leaving(self, occupants: Iterable[Occupant]) -> None:
        """Their rows are about to be given up."""
        gone = {id(one) for one in occupants}
        for one in [one for one in self._pending if id(one.occupant) in gone]:
            self._pending.remove(one)
            self._keep(one.occupant, len(one.occupant.generation.request.prompt))

    def _half(self, prefill: Prefill) -> int:
        if prefill.resumes is not None:
            return 0  # not as the prefill graph computed it alone
        self._store(prefill.row, prefill.generation, prefill.done)
        return prefill.done

    def _keep(self, occupant: Occupant, stop: int) -> None:
        row = next((row for row, one in enumerate(self._rows) if one is occupant), None)
        if row is not None:
            self._store(row, occupant.generation, stop)

    def _store(self, row: int, generation: Generation, stop: int) -> None:
        request = generation.request
        try:
            self._cache.store(row, request.prompt[:stop], request.prefix_seed)
        except Exception:  # whoever asked has their answer: a copy that failed is not theirs
            log.exception("a prompt could not be kept for the next one that begins like it")
