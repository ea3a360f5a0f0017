"""Continuous batching: a step computes some prompt tokens, then the next of every row.

A step that brought first tokens ends with them, and the next one decodes.

Token ids and rows; no HTTP, no Ray, no threads (`loop.py` has the thread). A fault
in a step ends the requests it touched with EngineFailure and nobody else's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import BestiaryError, DeadlineExceeded, EngineFailure, Overloaded
from bestiary.schemas.replica import ReplicaLoad, TextCounts
from bestiary.schemas.text import TextChunk
from deployments.kernels.prompt_session import PromptPart
from deployments.text.decoder import Decoder
from deployments.text.detokenizer import DecodesIds
from deployments.text.generation import ComputedPrompt, Generation, Ticket
from deployments.text.prefix_cache import PrefixCache
from deployments.text.prefix_keeping import PrefixKeeping
from deployments.text.prepared import PreparedRequest
from deployments.text.rows import Occupant, Rows
from deployments.text.sampling import BROKEN, choose
from deployments.text.scheduler import Prefill, Scheduler
from deployments.text.sequence import Sequence
from deployments.text.speculation import Draft, Drafter, RowSpeculation, Speculation
from deployments.text.step_costs import SMALLEST_CHUNK, StepCosts
from deployments.text.swap import SwapSpace
from deployments.text.throughput import Throughput

log = logging.getLogger(__name__)


# The fixed cost of a run in tokens (SmolLM2 in bf16mix on two cores: 22 ms, and 0.3 ms a token):
# so much padding is taken into a run for each prompt that needs none of its own.
WORTH_A_RUN = 64
REST = 1.25  # of the budget: what may be read where that ends the prompt
EVERY_LOGIT_CHUNK = 32  # prompt tokens whose logits are all wanted; each is a row of the head


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens `start..stop` of what is being computed, for one run."""

    prefill: Prefill
    start: int
    stop: int
    every: bool  # the logits of all of them are wanted

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def tokens(self) -> NDArray[np.int64]:
        return self.prefill.tokens[self.start : self.stop]

    @property
    def is_last(self) -> bool:
        return self.stop == len(self.prefill.tokens)

    @property
    def runs_alone(self) -> bool:
        return self.every or self.prefill.generation.request.adapter_slot > 0


@dataclass(slots=True)
class StepResult:
    """What one step has to tell, request by request; a request with an error is over."""

    chunks: dict[Ticket, list[TextChunk]] = field(default_factory=dict)
    errors: dict[Ticket, BestiaryError] = field(default_factory=dict)
    finished: int = 0  # sequences that ended by themselves


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How much of what; see `bestiary.profile.models.TextEngine`. Bytes, not megabytes."""

    prefill_chunk: int
    max_waiting: int
    prefix_cache_bytes: int = 0
    swap_bytes: int = 0
    speculate: int = 0
    # Whether a run of several tokens gives the logits of as many runs of one. Where
    # activations are quantised it does not: attention's last bits turn roundings.
    checks_are_exact: bool = True


class Engine:
    """One thread calls it. `clock` gives seconds and is the one that deadlines are on."""

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: DecodesIds,
        end_ids: Collection[int],
        options: EngineOptions,
        clock: Callable[[], float] = time.monotonic,
        drafter: Drafter | None = None,
    ) -> None:
        self._decoder = decoder
        self._tokenizer = tokenizer
        self._end_ids = end_ids
        self._prefill_chunk = options.prefill_chunk
        self._clock = clock
        self._scheduler = Scheduler(decoder.slots, options.max_waiting)
        self._rows = Rows(decoder)
        self._swap = SwapSpace(decoder, options.swap_bytes)
        self._prefixes = PrefixCache(decoder, options.prefix_cache_bytes)
        self._keeping = PrefixKeeping(self._prefixes, self._rows)
        self._costs = StepCosts()
        self._speculation = Speculation(options.speculate, self._costs, drafter)
        self._generations: dict[Ticket, Generation] = {}
        self._throughput = Throughput()
        self._preemptions = 0
        self._checks_are_exact = options.checks_are_exact
        self._owes_decoding = False  # the step before told first tokens instead
        self._rows_stay = False  # while runs and rows have to keep to each other

    @property
    def idle(self) -> bool:
        return not self._generations

    @property
    def holds_nothing(self) -> bool:
        """No row, no place in a queue, no swapped KV. What an idle engine must be."""
        return not len(self._rows) and self._scheduler.idle and self._swap.bytes == 0

    def submit(self, ticket: Ticket, request: PreparedRequest) -> None:
        """Raises Overloaded where the queue is full, or too long for the request's deadline."""
        now, wait_s = self._clock(), self._queue_wait_s()
        if now <= request.deadline_s < now + wait_s:
            message = f"the queue's wait of about {wait_s:.1f} s is over the request's deadline"
            raise Overloaded(message, wait_s)
        generation = Generation.of(ticket, request, self._tokenizer, self._end_ids, now)
        self._scheduler.add(generation, retry_after_s=max(1.0, wait_s))
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
        self._keeping.keep_some(self._scheduler.prefilling)
        self._drop_overdue(begun_s, result)
        self._preempt(result)
        self._bring_back(result)
        self._fork(result)
        if self._owes_decoding and len(self._rows) > 0:
            self._owes_decoding = False
        else:
            self._prefill(result)
            # First tokens are told at once: a decode run would hold them up.
            self._owes_decoding = bool(result.chunks) and len(self._rows) > 0
        if not self._owes_decoding:
            self._decode(result)
        self._throughput.stepped(self._clock() - begun_s, result.finished)
        return result

    def load(self) -> ReplicaLoad:
        waiting = self._scheduler.waiting
        tokens = sum(occupant.sequence.past for occupant in self._rows)
        tokens += sum(prefill.done for prefill in self._scheduler.prefilling)
        return ReplicaLoad(
            running=len(self._generations) - waiting,
            waiting=waiting,
            slots=self._decoder.slots,
            kv_cache_usage=tokens / (self._decoder.slots * self._decoder.max_length),
            queue_wait_s=self._queue_wait_s(),
        )

    def counts(self) -> TextCounts:
        return TextCounts(
            prefix_cache_queries=self._prefixes.counts.queried,
            prefix_cache_hits=self._prefixes.counts.hit,
            drafted_tokens=self._speculation.drafted,
            accepted_tokens=self._speculation.accepted,
            preemptions=self._preemptions,
        )

    def _queue_wait_s(self) -> float:
        prefills = self._scheduler.prefilling
        held = self._scheduler.held()
        done = sum(prefill.done for prefill in prefills)
        prompts = sum(len(one.request.prompt) for one in held) - done
        taken = len(self._rows) + len(prefills)
        unstarted = sum(len(one.sequences) - one.started for one in held)
        unstarted += self._scheduler.suspended - len(prefills)  # those have rows
        rows_short = taken + unstarted + 1 - self._decoder.slots
        return self._throughput.wait_s(rows_short, max(0, prompts))

    def _drop_overdue(self, now: float, result: StepResult) -> None:
        overdue = [one for one in self._generations.values() if now > one.request.deadline_s]
        for generation in overdue:
            waited = now - generation.request.arrived_s
            message = f"the request's deadline passed after {waited:.1f} s"
            self._fail(generation, DeadlineExceeded(message), result)

    def _preempt(self, result: StepResult) -> None:
        """Takes the row of a batch sequence where an interactive request has none."""
        row = self._scheduler.victim(self._rows)
        if row is None:
            return
        occupant = self._rows[row]
        with self._blaming([occupant.generation], "giving way", result):
            self._scheduler.suspend(self._swap.take_out(row, occupant))
            self._keeping.leaving([occupant])
            self._rows.leave([occupant])
            self._preemptions += 1

    def _bring_back(self, result: StepResult) -> None:
        """Gives rows to sequences that gave way and whose KV was kept."""
        while suspended := self._scheduler.next_back(len(self._rows)):
            with self._blaming([suspended.occupant.generation], "coming back", result):
                row = self._free_row()
                self._swap.put_back(row, suspended)
                self._rows.join(suspended.occupant, row)

    def _fork(self, result: StepResult) -> None:
        """Starts candidates whose prompt another candidate of their request has computed."""
        while generation := self._scheduler.next_fork(len(self._rows)):
            with self._blaming([generation], "starting a candidate", result):
                assert generation.prompt is not None
                row = self._free_row()
                self._decoder.copy_in(row, 0, generation.prompt.tokens)
                self._start(generation, row, generation.prompt.logits.copy(), result)
            self._scheduler.forked()

    def _free_row(self) -> int:
        """The next decoding row; a prompt that is being computed there moves up."""
        for prefill in self._scheduler.prefilling:
            if prefill.row == self._rows.next:
                self._decoder.move_row(prefill.row, prefill.row + 1, prefill.done)
                prefill.row += 1
        return self._rows.next

    def _prefill(self, result: StepResult) -> None:
        """Computes prompts, in chunks, until the step's budget of tokens is used."""
        waiting = self._scheduler.waiting
        together = self._decoder.reads_together
        budget = self._costs.budget(
            len(self._rows), waiting, self._prefill_chunk, together=together
        )
        while budget >= min(SMALLEST_CHUNK, self._prefill_chunk):
            chunks = self._chunks(budget, result)
            if not chunks:
                return
            computed = 0
            generations = [chunk.prefill.generation for chunk in chunks]
            with self._blaming(generations, "computing a prompt", result):
                computed = self._run_chunks(chunks, result)
            budget -= max(1, computed)

    def _chunks(self, budget: int, result: StepResult) -> list[Chunk]:
        """What one run computes: a prompt's next chunk, and beside it prompts of its length.

        The chunk is the prompt's last one where there is anything beside it. So one prompt
        at most is half computed, or has begun and waits for its own run.
        """
        first = self._next_prefill(result)
        if first is None:
            return []
        chunks = [self._chunk(first, budget)]
        if not self._decoder.reads_together or chunks[0].runs_alone:
            return chunks
        while chunks[-1].is_last and (another := self._begun(result)) is not None:
            chunk = Chunk(another, another.done, len(another.tokens), _wants_every_logit(another))
            if chunk.runs_alone or not _fits_beside(chunk, chunks, budget):
                break  # it has begun, and is first in the next run
            chunks.append(chunk)
        return chunks

    def _next_prefill(self, result: StepResult) -> Prefill | None:
        held = self._scheduler.prefilling
        return held[0] if held else self._begun(result)

    def _begun(self, result: StepResult) -> Prefill | None:
        """The next prompt that can begin; one that fails to is over."""
        while prefill := self._scheduler.begin(len(self._rows)):
            with self._blaming([prefill.generation], "beginning a prompt", result):
                self._begin(prefill)
                return prefill
        return None

    def _begin(self, prefill: Prefill) -> None:
        """Whatever of the prompt is known already is copied, not computed."""
        generation = prefill.generation
        if generation.scheduled_s is None:
            generation.scheduled_s = self._clock()
        if _wants_every_logit(prefill):
            return  # what is copied brings no logits
        seed = generation.request.prefix_seed
        prefill.done = self._prefixes.load(prefill.row, prefill.tokens, seed)
        if prefill.resumes is None:
            for sequence in generation.sequences:
                sequence.cached = prefill.done

    def _chunk(self, prefill: Prefill, budget: int) -> Chunk:
        every = _wants_every_logit(prefill)
        aligned = self._decoder.reads_together and not prefill.generation.request.adapter_slot
        left = len(prefill.tokens) - prefill.done
        if every:
            most = min(budget, self._prefill_chunk, EVERY_LOGIT_CHUNK)
        elif not aligned:
            most = min(budget, self._prefill_chunk)
        else:  # a short rest costs less in this run than in one of its own
            most = left if left <= budget * REST else budget
        return Chunk(prefill, prefill.done, prefill.next_stop(most, aligned=aligned), every)

    def _run_chunks(self, chunks: list[Chunk], result: StepResult) -> int:
        """How many tokens were computed, padding included."""
        begun_s = self._clock()
        first = chunks[0]
        logits = self._decoder.read(
            [PromptPart(chunk.prefill.row, chunk.tokens, chunk.start) for chunk in chunks],
            every=first.every,
            adapter=first.prefill.generation.request.adapter_slot,
        )
        if first.every:
            _note_prompt(first.prefill.generation, logits, first.start)
            logits = logits[-1:]
        for chunk in chunks:
            chunk.prefill.done = chunk.stop
        for chunk, last in zip(chunks, logits[:, np.newaxis], strict=True):
            if chunk.is_last:
                with self._blaming([chunk.prefill.generation], "completing a prompt", result):
                    self._complete(chunk.prefill, last, result)
        seconds = self._clock() - begun_s
        computed = len(chunks) * max(len(chunk) for chunk in chunks)
        self._costs.prefilled(computed, seconds)
        self._throughput.prefilled(sum(len(chunk) for chunk in chunks), seconds)
        return computed

    def _complete(self, prefill: Prefill, logits: NDArray[np.float32], result: StepResult) -> None:
        generation, length = prefill.generation, len(prefill.tokens)
        if prefill.resumes is not None:
            self._rows.join(prefill.resumes, prefill.row)
            self._scheduler.prefilled(prefill)
            return
        if len(generation.sequences) > 1:
            computed = self._decoder.copy_out(prefill.row, 0, length)
            generation.prompt = ComputedPrompt(computed, logits.copy())
        self._start(generation, prefill.row, logits, result)
        self._scheduler.prefilled(prefill)

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
        first = generation.started == 1
        if sequence.finish is None and generation.ticket in self._generations:
            tokens = [*generation.request.prompt.tolist(), token]
            occupant = Occupant(generation, sequence, RowSpeculation(tokens))
            self._rows.join(occupant, row)
            if first:
                self._keeping.add(occupant)
        elif first:  # it has no row of its own that could be copied later
            self._prefixes.store(row, generation.request.prompt, generation.request.prefix_seed)

    def _decode(self, result: StepResult) -> None:
        """One token of every row; several where a draft is right."""
        rows = len(self._rows)
        if rows == 0:
            return
        self._rows_stay = True
        drafts = self._drafts(rows, result)
        for first, last in _stretches(rows, drafts):
            self._decode_rows(first, last, result)
        for row, (draft, drafting_s) in drafts.items():
            self._check(row, draft, drafting_s, rows, result)
        self._rows_stay = False
        self._clear_rows()

    def _drafts(self, rows: int, result: StepResult) -> dict[int, tuple[Draft, float]]:
        """By row: what was guessed, and how long guessing took."""
        if self._speculation.off:
            return {}
        self._speculation.begin_step()
        found: dict[int, tuple[Draft, float]] = {}
        for row, occupant in enumerate(self._rows):
            if occupant.generation.request.reproducible and not self._checks_are_exact:
                continue
            with self._blaming([occupant.generation], "drafting", result):
                begun_s = self._clock()
                past = occupant.sequence.past
                room = min(occupant.sequence.left - 1, self._decoder.max_length - past - 1)
                draft = self._speculation.draft(row, occupant.speculation, room, rows)
                if draft is not None:
                    found[row] = draft, self._clock() - begun_s
        return found

    def _decode_rows(self, first: int, last: int, result: StepResult) -> None:
        """The rows `first..last`, without `last`, in one run."""
        occupants = [self._rows[row] for row in range(first, last)]
        with self._blaming([one.generation for one in occupants], "decoding", result):
            begun_s = self._clock()
            sequences = [one.sequence for one in occupants]
            tokens = np.array([[one.last_token] for one in sequences], np.int64)
            past = np.array([one.past for one in sequences], np.int32)
            slots = _slots([one.generation for one in occupants])
            logits = self._decoder.run(first, tokens, past, adapters=slots)
            chosen = choose(logits, [one.sampler for one in sequences])
            for occupant, token in zip(occupants, chosen, strict=True):
                self._take(occupant, token, result)
            if last - first == len(self._rows):
                self._costs.decoded(last - first, self._clock() - begun_s)

    def _check(
        self, row: int, draft: Draft, drafting_s: float, rows: int, result: StepResult
    ) -> None:
        """Chooses along a draft for as long as the choices are what it guessed, and one more."""
        occupant = self._rows[row]
        sequence = occupant.sequence
        if self._is_gone(occupant.generation):
            return
        with self._blaming([occupant.generation], "checking a draft", result):
            begun_s = self._clock()
            tokens = np.array([[sequence.last_token, *draft.tokens]], np.int64)
            past = np.array([sequence.past], np.int32)
            slots = _slots([occupant.generation])
            logits = self._decoder.run(row, tokens, past, every=True, adapters=slots)
            accepted = 0
            for position, guess in enumerate((*draft.tokens, None)):
                (token,) = choose(logits[position : position + 1], [sequence.sampler])
                self._take(occupant, token, result)
                ended = sequence.finish is not None or self._is_gone(occupant.generation)
                if ended or token != guess:
                    break
                accepted += 1
            seconds = self._clock() - begun_s + drafting_s
            self._costs.checked(draft.source, len(draft.tokens) + 1, seconds)
            self._speculation.checked(occupant.speculation, draft, accepted, rows)

    def _take(self, occupant: Occupant, token: int, result: StepResult) -> None:
        """A decoding row's next token; the one before it is in the KV row now."""
        if self._is_gone(occupant.generation):
            return
        occupant.sequence.past += 1
        occupant.speculation.append(token)
        self._accept(occupant.generation, occupant.sequence, token, result)

    def _accept(
        self, generation: Generation, sequence: Sequence, token: int, result: StepResult
    ) -> None:
        if token == BROKEN:
            failure = EngineFailure("the model's output for this request is not a number")
            self._fail(generation, failure, result)
            return
        with self._blaming([generation], "writing text", result):
            self._scheduler.charge(generation, generated_tokens=1)
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
        except BestiaryError as error:  # a request's own: it says what is wrong
            for generation in generations:
                self._fail(generation, error, result)
        except Exception as error:  # of many kinds: ONNX Runtime's, numpy's, tokenizers'
            log.exception("%s failed", what)
            for generation in generations:
                failure = EngineFailure(f"{what} failed: {type(error).__name__}")
                self._fail(generation, failure, result)

    def _is_gone(self, generation: Generation) -> bool:
        return generation.ticket not in self._generations

    def _fail(self, generation: Generation, error: BestiaryError, result: StepResult) -> None:
        if not self._is_gone(generation):
            result.errors[generation.ticket] = error
            self._forget(generation)

    def _forget(self, generation: Generation) -> None:
        """Gives back its rows, its place in the queue and its copies of KV."""
        del self._generations[generation.ticket]
        for suspended in self._scheduler.remove(generation):
            self._swap.forget(suspended)
        generation.prompt = None
        if not self._rows_stay:
            self._clear_rows()
        generation.request.release()

    def _clear_rows(self) -> None:
        """Frees the rows of sequences that ended and of requests that are gone."""
        ended = [
            one
            for one in self._rows
            if one.sequence.finish is not None or self._is_gone(one.generation)
        ]
        self._keeping.leaving(ended)
        self._rows.leave(ended)


def _slots(generations: list[Generation]) -> NDArray[np.int64] | None:
    """Of their adapters; None where nobody has one."""
    slots = [one.request.adapter_slot for one in generations]
    return np.array(slots, np.int64) if any(slots) else None


def _fits_beside(chunk: Chunk, chunks: list[Chunk], budget: int) -> bool:
    """Whether a run that takes the chunk too stays within the budget, with little padding."""
    lengths = [len(one) for one in (*chunks, chunk)]
    padded = len(lengths) * max(lengths)
    return padded <= budget and padded - sum(lengths) <= WORTH_A_RUN * len(chunks)


def _wants_every_logit(prefill: Prefill) -> bool:
    return prefill.generation.request.prompt_logprobs is not None and prefill.resumes is None


def _note_prompt(generation: Generation, logits: NDArray[np.float32], start: int) -> None:
    assert generation.request.prompt_logprobs is not None
    generation.request.prompt_logprobs.note(logits, start)


def _stretches(rows: int, apart: Container[int]) -> Iterator[tuple[int, int]]:
    """Neighbouring rows without those that are `apart`: the first, and one past the last."""
    first = 0
    for row in range(rows + 1):
        if row == rows or row in apart:
            if row > first:
                yield first, row
            first = row + 1
