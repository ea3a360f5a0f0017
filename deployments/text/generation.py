"""One request in the engine: its candidates, and when each stage of it began.

Knows times and chunks; what runs when is the scheduler's.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bestiary.schemas.text import EngineTimings, TextChunk
from deployments.text.decoder import KvTokens
from deployments.text.detokenizer import DecodesIds
from deployments.text.prepared import PreparedRequest
from deployments.text.sequence import Sequence

Ticket = int  # the engine's own name of a request: callers' ids need not be unique


@dataclass(frozen=True, slots=True, eq=False)
class ComputedPrompt:
    """What a prefill left: the prompt's KV and the logits that follow it.

    Candidates that get their row later begin from it without a prefill of their own.
    """

    tokens: KvTokens  # as `Decoder.copy_out` gives it
    logits: NDArray[np.float32]  # [1, vocabulary]


@dataclass(slots=True, eq=False)
class Generation:
    """Times are seconds of the engine's clock."""

    ticket: Ticket
    request: PreparedRequest
    sequences: tuple[Sequence, ...]
    submitted_s: float
    scheduled_s: float | None = None
    first_token_s: float | None = None
    prompt: ComputedPrompt | None = None  # only while candidates wait for a row
    started: int = 0  # candidates that have had a row
    _finished: int = field(default=0)

    @classmethod
    def of(
        cls,
        ticket: Ticket,
        request: PreparedRequest,
        tokenizer: DecodesIds,
        end_ids: Collection[int],
        now: float,
    ) -> Generation:
        candidates = range(request.candidates)
        made = tuple(Sequence(request, number, tokenizer, end_ids) for number in candidates)
        return cls(ticket, request, made, submitted_s=now)

    @property
    def finished(self) -> bool:
        return self._finished == len(self.sequences)

    def accept(self, sequence: Sequence, token: int, now: float) -> list[TextChunk]:
        """Hands a token to one of the candidates; what can be said after it."""
        if self.first_token_s is None:
            self.first_token_s = now
        echo = self.request.echo if sequence.generated == 0 else ""
        chunks = [TextChunk(sequence.candidate, echo)] if echo else []
        chunk = sequence.accept(token)
        if sequence.finish is not None:
            self._finished += 1
        if chunk is not None:
            chunks.append(replace(chunk, timings=self._timings(now)) if self.finished else chunk)
        return chunks

    def _timings(self, now: float) -> EngineTimings:
        assert self.scheduled_s is not None
        assert self.first_token_s is not None
        return EngineTimings(
            queue_s=self.scheduled_s - self.submitted_s,
            prefill_s=self.first_token_s - self.scheduled_s,
            decode_s=now - self.first_token_s,
            total_s=now - self.request.arrived_s,
        )
