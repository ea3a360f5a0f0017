"""Continuous batching: every step computes at most one prompt chunk, then one token of every row.

Token ids and rows; no HTTP, no Ray, no threads (`loop.py` has the thread). A fault
in a step ends the requests it touched with EngineFailure and nobody else's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import BestiaryError, DeadlineExceeded, EngineFailure
from bestiary.schemas.replica import ReplicaLoad
from bestiary.schemas.text import TextChunk
from deployments.text.decoder import Decoder
from deployments.text.detokenizer import DecodesIds
from deployments.text.generation import ComputedPrompt, Generation, Ticket
from deployments.text.prepared import PreparedRequest
from deployments.text.rows import Occupant, Rows
from deployments.text.sampling import BROKEN, choose
from deployments.text.scheduler import Chunk, Scheduler
from deployments.text.sequence import Sequence
from deployments.text.throughput import Throughput

log = logging.getLogger(__name__)


@dataclass(slots=True)
class StepResult:
    """What one step has to tell, request by request; a request with an error is over."""

    chunks: dict[Ticket, list[TextChunk]] = field(default_factory=dict)
    errors: dict[Ticket, BestiaryError] = field(default_factory=dict)
    finished: int = 0  # sequences that ended by themselves


class Engine:
    """One thread calls it. `clock` gives seconds and is the one that deadlines are on."""

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: DecodesIds,
        end_ids: Collection[int],
        scheduler: Scheduler,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._decoder = decoder
        self._tokenizer = tokenizer
        self._end_ids = end_ids
        self._scheduler = scheduler
        self._clock = clock
        self._rows = Rows(decoder)
        self._generations: dict[Ticket, Generation] = {}
        self._throughput = Throughput()

    @property
    def idle(self) -> bool:
        return not self._generations

    def submit(self, ticket: Ticket, request: PreparedRequest) -> None:
        """Raises Overloaded where the queue is full."""
        generation = Generation.of(ticket, request, self._tokenizer, self._end_ids, self._clock())
        self._scheduler.add(generation, retry_after_s=max(1.0, self._queue_wait_s()))
        self._generations[ticket] = generation

    def cancel(self, ticket: Ticket) -> None:
        """Frees what the request holds, at once. One that is over is no fault."""
        generation = self._generations.get(ticket)
        if generation is not None:
            self._forget(generation)

    def step(self) -> StepResult:
        """Raises nothing that a request or the decoder causes."""
        begun_s = self._clock()
        result = StepResult()
        self._drop_overdue(begun_s, result)
        self._fork(result)
        self._prefill(result)
        self._decode(result)
        self._throughput.stepped(self._clock() - begun_s, result.finished)
        return result

    def load(self) -> ReplicaLoad:
        waiting = self._scheduler.waiting
        prefilling = self._scheduler.prefilling
        tokens = sum(occupant.sequence.past for occupant in self._rows)
        tokens += prefilling.computed if prefilling is not None else 0
        return ReplicaLoad(
            running=len(self._generations) - waiting,
            waiting=waiting,
            slots=self._decoder.slots,
            kv_cache_usage=tokens / (self._decoder.slots * self._decoder.max_length),
            queue_wait_s=self._queue_wait_s(),
        )

    def _queue_wait_s(self) -> float:
        held = self._scheduler.held()
        prompts = (len(one.request.prompt) - one.computed for one in held)
        taken = len(self._rows) + (self._scheduler.prefilling is not None)
        unstarted = sum(len(one.sequences) - one.started for one in held)
        if self._scheduler.prefilling is not None:
            unstarted -= 1  # its first candidate has a row already
        rows_short = taken + unstarted + 1 - self._decoder.slots
        return self._throughput.wait_s(rows_short, sum(prompts))

    def _drop_overdue(self, now: float, result: StepResult) -> None:
        overdue = [one for one in self._generations.values() if now > one.request.deadline_s]
        for generation in overdue:
            waited = now - generation.request.arrived_s
            message = f"the request's deadline passed after {waited:.1f} s"
            self._fail(generation, DeadlineExceeded(message), result)

    def _fork(self, result: StepResult) -> None:
        """Starts candidates whose prompt another candidate of their request has computed."""
        while generation := self._scheduler.next_fork(len(self._rows)):
            with self._blaming([generation], "starting a candidate", result):
                assert generation.prompt is not None
                self._decoder.copy_in(self._rows.next, 0, generation.prompt.tokens)
                self._start(generation, self._rows.next, generation.prompt.logits.copy(), result)
            self._scheduler.forked()

    def _prefill(self, result: StepResult) -> None:
        chunk = self._scheduler.next_chunk(len(self._rows))
        if chunk is None:
            return
        begun_s = self._clock()
        if chunk.generation.scheduled_s is None:
            chunk.generation.scheduled_s = begun_s
        with self._blaming([chunk.generation], "computing a prompt", result):
            self._run_chunk(chunk, result)
        self._throughput.prefilled(chunk.stop - chunk.start, self._clock() - begun_s)

    def _run_chunk(self, chunk: Chunk, result: StepResult) -> None:
        generation = chunk.generation
        tokens = generation.request.prompt[None, chunk.start : chunk.stop]
        logits = self._decoder.run(chunk.row, tokens, np.array([chunk.start], np.int32))
        generation.computed = chunk.stop
        if not chunk.completes_prompt:
            return
        if len(generation.sequences) > 1:
            computed = self._decoder.copy_out(chunk.row, 0, chunk.stop)
            generation.prompt = ComputedPrompt(computed, logits.copy())
        self._start(generation, chunk.row, logits, result)
        self._scheduler.prefilled()

    def _start(
        self, generation: Generation, row: int, logits: NDArray[np.float32], result: StepResult
    ) -> None:
        """The next candidate's first token; its prompt's KV is in `row`."""
        sequence = generation.sequences[generation.started]
        generation.started += 1
        sequence.past = len(generation.request.prompt)
        if generation.started == len(generation.sequences):
            generation.prompt = None
        (token,) = choose(logits, [sequence.sampler])
        self._accept(generation, sequence, token, result)
        if sequence.finish is None and generation.ticket in self._generations:
            self._rows.join(Occupant(generation, sequence), row)

    def _decode(self, result: StepResult) -> None:
        occupants = list(self._rows)
        if not occupants:
            return
        with self._blaming([one.generation for one in occupants], "decoding", result):
            sequences = [one.sequence for one in occupants]
            last = np.array([[one.last_token] for one in sequences], np.int64)
            past = np.array([one.past for one in sequences], np.int32)
            logits = self._decoder.run(0, last, past)
            tokens = choose(logits, [one.sampler for one in sequences])
            for sequence in sequences:
                sequence.past += 1
            for occupant, token in zip(occupants, tokens, strict=True):
                if occupant.generation.ticket in self._generations:
                    self._accept(occupant.generation, occupant.sequence, token, result)
            self._rows.leave([one for one in self._rows if one.sequence.finish is not None])

    def _accept(
        self, generation: Generation, sequence: Sequence, token: int, result: StepResult
    ) -> None:
        if token == BROKEN:
            failure = EngineFailure("the model's output for this request is not a number")
            self._fail(generation, failure, result)
            return
        with self._blaming([generation], "writing text", result):
            chunks = generation.accept(sequence, token, self._clock())
            if chunks:
                result.chunks.setdefault(generation.ticket, []).extend(chunks)
            result.finished += sequence.finish is not None
            if generation.finished:
                self._forget(generation)

    @contextmanager
    def _blaming(
        self, generations: Iterable[Generation], what: str, result: StepResult
    ) -> Iterator[None]:
        """A fault inside ends these requests; the engine and everyone else go on."""
        try:
            yield
        except Exception as error:  # of many kinds: ONNX Runtime's, numpy's, tokenizers'
            log.exception("%s failed", what)
            for generation in generations:
                failure = EngineFailure(f"{what} failed: {type(error).__name__}")
                self._fail(generation, failure, result)

    def _fail(self, generation: Generation, error: BestiaryError, result: StepResult) -> None:
        if generation.ticket in self._generations:
            result.errors[generation.ticket] = error
            self._forget(generation)

    def _forget(self, generation: Generation) -> None:
        """Gives back its rows, its place in the queue and its copy of the prompt's KV."""
        del self._generations[generation.ticket]
        self._scheduler.remove(generation)
        generation.prompt = None
        self._rows.leave([one for one in self._rows if one.generation is generation])
