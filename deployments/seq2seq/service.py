"""One encoder-decoder replica without Ray: typed requests in, typed results and chunks out.

Joins tokenizer, defaults and the engine's loop. Blocking work runs in threads, never on the
event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeVar, TypeVarTuple

from bestiary.errors import EngineFailure, InvalidRequest
from bestiary.garden.card import ModelCard
from bestiary.schemas.replica import ReplicaLoad
from bestiary.schemas.seq2seq import (
    CrossAttention,
    Seq2SeqChunk,
    Seq2SeqOutput,
    Seq2SeqRequest,
    Seq2SeqResult,
)
from bestiary.schemas.text import CountTokensRequest, EngineTimings, TokenCount
from deployments.seq2seq.drawing import random_seed
from deployments.seq2seq.engine import Event, Job, Seq2SeqEngine
from deployments.seq2seq.loop import Seq2SeqLoop
from deployments.seq2seq.model_defaults import ModelDefaults
from deployments.seq2seq.pieces import Pieces
from deployments.seq2seq.plan import Limits, Plan, plan
from deployments.seq2seq.search import Found
from deployments.seq2seq.source_tokenizer import SourceTokenizer, TokenizedInput
from deployments.seq2seq.tasks import task_name
from deployments.seq2seq.text_growth import TextGrowth
from deployments.turn_loop import LoopLimits

T = TypeVar("T")
Given = TypeVarTuple("Given")


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What a replica knows of its model beside the engine."""

    card: ModelCard
    defaults: ModelDefaults
    tokenizer: SourceTokenizer
    max_target: int  # tokens
    shows_attention: bool


class Seq2SeqService:
    """`start` on the running loop, once; `stop` at the end."""

    def __init__(self, model: ServedModel, engine: Seq2SeqEngine, limits: LoopLimits) -> None:
        self._model = model
        self._limits = Limits(engine.slots, model.max_target)
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenize")
        self._running = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._loop = Seq2SeqLoop(engine, limits, self._running)

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()
        self._tokenizing.shutdown(wait=False, cancel_futures=True)
        self._running.shutdown(wait=False, cancel_futures=True)

    async def generate(self, request: Seq2SeqRequest) -> Seq2SeqResult:
        """All outputs at once. Raises as `stream` does."""
        outputs: dict[int, Seq2SeqOutput] = {}
        timings = EngineTimings()
        async with aclosing(self._chunks(request, pieces=False)) as stream:
            async for chunk in stream:
                if chunk.output is not None:
                    outputs[chunk.index] = chunk.output
                timings = chunk.timings or timings
        return Seq2SeqResult(tuple(outputs[index] for index in sorted(outputs)), timings)

    async def stream(self, request: Seq2SeqRequest) -> AsyncGenerator[Seq2SeqChunk, None]:
        """The chunks as they come; closing the generator early frees what the request holds.

        Raises InvalidRequest, ContextOverflow, Overloaded, DeadlineExceeded, EngineFailure.
        """
        async with aclosing(self._chunks(request, pieces=True)) as stream:
            async for chunk in stream:
                yield chunk

    async def count_tokens(self, request: CountTokensRequest) -> TokenCount:
        """Of a source; special tokens count, a task's prefix does not."""
        if request.text is None:
            raise InvalidRequest("this model has no chat template: give text", "messages")
        counted = self._model.tokenizer.count
        return TokenCount(await self._in_thread(counted, request.text))

    def load(self) -> ReplicaLoad:
        return self._loop.load()

    def check(self) -> None:
        """Raises EngineFailure where no request would ever be answered again."""
        if not self._loop.is_alive:
            raise EngineFailure("the engine's loop has stopped")

    async def _chunks(
        self, request: Seq2SeqRequest, *, pieces: bool
    ) -> AsyncGenerator[Seq2SeqChunk, None]:
        arrived = time.perf_counter()
        decoding, prefix = self._plan(request)
        encode = self._model.tokenizer.encode
        sources = await self._in_thread(encode, request.inputs, prefix, request.truncate)
        answer = _Answer(self._model.tokenizer.pieces, sources, arrived, pieces=pieces)

        def jobs_of(owner: object) -> list[Job]:
            looks = request.return_attention
            return [
                Job(owner, index, source.ids, decoding, looks)
                for index, source in enumerate(sources)
            ]

        until = None if request.deadline_s is None else arrived + request.deadline_s
        async with aclosing(self._loop.run_admitted(jobs_of, until)) as turns:
            async for events in turns:
                for event in events:
                    for chunk in answer.chunks(event):
                        yield chunk

    def _plan(self, request: Seq2SeqRequest) -> tuple[Plan, str]:
        if request.return_attention and not self._model.shows_attention:
            raise InvalidRequest(
                f"{self._model.card.id} has no attention to return", "return_attention"
            )
        defaults = self._model.defaults
        of_task = defaults.of(task_name(request, self._model.card))
        asked = request.decoding
        seed = random_seed() if asked.seed is None else asked.seed
        return plan(asked, of_task, defaults.special, self._limits, seed), of_task.prefix

    async def _in_thread(self, function: Callable[[*Given], T], *given: *Given) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._tokenizing, function, *given)


class _Answer:
    """One request's chunks, made from what happens to its jobs."""

    def __init__(
        self,
        vocabulary: Pieces,
        sources: Sequence[TokenizedInput],
        arrived: float,
        *,
        pieces: bool,
    ) -> None:
        self._vocabulary = vocabulary
        self._sources = sources
        self._arrived = arrived
        self._growing = [TextGrowth(vocabulary.decode) for _ in sources] if pieces else []
        self._left = len(sources)
        self._began: float | None = None
        self._encode_s: dict[float, float] = {}  # by start: inputs of one run count once

    def chunks(self, event: Event) -> list[Seq2SeqChunk]:
        index = event.job.index
        if event.found is None:
            text = self._piece(index, event.token)
            return [Seq2SeqChunk(index, text)] if text else []
        self._left -= 1
        self._note(event.job)
        output = self._output(event.job, event.found)
        rest = self._growing[index].finish(output.text) if self._growing else ""
        timings = None if self._left else self._timings()
        return [Seq2SeqChunk(index, rest, output, timings)]

    def _piece(self, index: int, token: int | None) -> str:
        if token is None or not self._growing:
            return ""
        return self._growing[index].push(token)

    def _output(self, job: Job, found: Found) -> Seq2SeqOutput:
        source = self._sources[job.index]
        words = self._vocabulary
        output = Seq2SeqOutput(
            text=words.decode(found.tokens),
            finish_reason=found.finish_reason,
            prompt_tokens=len(source.ids),
            completion_tokens=len(found.tokens),
            truncated=source.truncated,
        )
        if found.attention is None:
            return output
        looked = CrossAttention(
            source_tokens=tuple(words.token_text(token) for token in source.ids),
            target_tokens=tuple(words.token_text(token) for token in found.tokens),
            source_token_ids=tuple(source.ids),
            target_token_ids=tuple(found.tokens),
            weights=found.attention,
        )
        return replace(output, attention=looked)

    def _note(self, job: Job) -> None:
        if job.began_s is not None:
            self._encode_s[job.began_s] = job.encode_s
            self._began = min(job.began_s, self._began or job.began_s)

    def _timings(self) -> EngineTimings:
        now = time.perf_counter()
        began = self._began or now
        encoding = sum(self._encode_s.values())
        return EngineTimings(
            queue_s=max(0.0, began - self._arrived),
            prefill_s=encoding,
            decode_s=max(0.0, now - began - encoding),
            total_s=now - self._arrived,
        )
