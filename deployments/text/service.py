"""What a text replica does, without Ray: prepares requests, runs them, says how it is.

Lives on one event loop and keeps it free: long prompts are tokenised and grammars
compiled in a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from bestiary.errors import InvalidRequest
from bestiary.schemas.replica import ReplicaLoad, TextCounts
from bestiary.schemas.text import (
    CountTokensRequest,
    TextChunk,
    TextRequest,
    TokenCount,
)
from deployments.text.adapter_line import AdapterLine
from deployments.text.intake import Intake
from deployments.text.loop import EngineLoop
from deployments.text.prepared import PreparedRequest

LONG_PROMPT = 4000  # characters that tokenise in about 2 ms


class TextService:
    """`clock` is the engine's, in seconds."""

    def __init__(
        self,
        intake: Intake,
        loop: EngineLoop,
        clock: Callable[[], float] = time.monotonic,
        adapters: AdapterLine | None = None,
    ) -> None:
        self._intake = intake
        self._loop = loop
        self._clock = clock
        self._adapters = adapters

    async def generate(self, request: TextRequest) -> AsyncGenerator[tuple[TextChunk, ...], None]:
        """The chunks as they come; closing the generator early frees what the request holds.

        Where all adapters' slots are in use, a request for another one waits for its turn.
        Raises InvalidRequest, ContextOverflow, Overloaded, DeadlineExceeded, EngineFailure
        and Unavailable; KernelError for an adapter that the model cannot take.
        """
        arrived_s = self._clock()
        prepared = await self._prepared(request, arrived_s)
        prepared_s = self._clock()
        prepared = await self._adapted(request, prepared)
        adapter_s = self._clock() - prepared_s
        reader = None if prepared.tools is None else prepared.tools.begin()
        async with aclosing(self._loop.generate(prepared)) as stream:
            async for chunks in stream:
                read = chunks if reader is None else reader.read(chunks)
                yield self._until_now(read, arrived_s, adapter_s)

    async def count_tokens(self, request: CountTokensRequest) -> TokenCount:
        """Raises InvalidRequest."""
        if request.tool_use is not None or _characters(request) > LONG_PROMPT:
            return TokenCount(await asyncio.to_thread(self._intake.count, request))
        return TokenCount(self._intake.count(request))

    def load(self) -> ReplicaLoad:
        load = self._loop.load()
        if self._adapters is None:
            return load
        return replace(load, waiting=load.waiting + self._adapters.waiting)

    def counts(self) -> TextCounts:
        return self._loop.counts()

    def check(self) -> None:
        """Raises Unavailable where the engine does not run any more."""
        self._loop.check()

    async def close(self) -> None:
        if self._adapters is not None:
            await self._adapters.close()
        await self._loop.close()

    async def _adapted(self, request: TextRequest, prepared: PreparedRequest) -> PreparedRequest:
        """With a lease on its adapter's slot, where it wants one."""
        if request.adapter is None:
            return prepared
        if self._adapters is None:
            raise InvalidRequest("this deployment takes no adapters", "model")
        lease = await self._adapters.lease(request.adapter, prepared.deadline_s)
        return replace(prepared, adapter=lease)

    async def _prepared(self, request: TextRequest, arrived_s: float) -> PreparedRequest:
        constrained = request.constraint is not None or request.tool_use is not None
        if constrained or _characters(request) > LONG_PROMPT:
            return await asyncio.to_thread(self._intake.prepare, request, arrived_s)
        return self._intake.prepare(request, arrived_s)

    def _until_now(
        self, chunks: tuple[TextChunk, ...], arrived_s: float, adapter_s: float
    ) -> tuple[TextChunk, ...]:
        """`total_s` ends where the last chunk leaves, not where the engine made it.

        The wait for an adapter came before the engine's queue, and is part of it to a caller.
        """
        last = chunks[-1]
        if last.timings is None:
            return chunks
        timings = replace(
            last.timings,
            queue_s=last.timings.queue_s + adapter_s,
            total_s=self._clock() - arrived_s,
        )
        return (*chunks[:-1], replace(last, timings=timings))


def _characters(request: TextRequest | CountTokensRequest) -> int:
    messages = request.messages or ()
    return len(request.text or "") + sum(len(message.content) for message in messages)
