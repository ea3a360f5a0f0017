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
    Adapter,
    CountTokensRequest,
    TextChunk,
    TextRequest,
    TokenCount,
)
from deployments.kernels.adapters import AdapterBank, Lease
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
        adapters: AdapterBank | None = None,
    ) -> None:
        self._intake = intake
        self._loop = loop
        self._clock = clock
        self._adapters = adapters

    async def generate(self, request: TextRequest) -> AsyncGenerator[tuple[TextChunk, ...], None]:
        """The chunks as they come; closing the generator early frees what the request holds.

        Raises InvalidRequest, ContextOverflow, Overloaded, DeadlineExceeded, EngineFailure
        and Unavailable; KernelError for an adapter that the model cannot take.
        """
        arrived_s = self._clock()
        prepared = await self._prepared(request, arrived_s)
        if request.adapter is not None:
            lease = await self._lease(request.adapter)
            prepared = replace(prepared, adapter=lease)
        reader = None if prepared.tools is None else prepared.tools.begin()
        async with aclosing(self._loop.generate(prepared)) as stream:
            async for chunks in stream:
                read = chunks if reader is None else reader.read(chunks)
                yield self._until_now(read, arrived_s)

    async def count_tokens(self, request: CountTokensRequest) -> TokenCount:
        """Raises InvalidRequest."""
        if request.tool_use is not None or _characters(request) > LONG_PROMPT:
            return TokenCount(await asyncio.to_thread(self._intake.count, request))
        return TokenCount(self._intake.count(request))

    def load(self) -> ReplicaLoad:
        return self._loop.load()

    def counts(self) -> TextCounts:
        return self._loop.counts()

    def check(self) -> None:
        """Raises Unavailable where the engine does not run any more."""
        self._loop.check()

    async def close(self) -> None:
        await self._loop.close()

    async def _lease(self, adapter: Adapter) -> Lease:
        if self._adapters is None:
            raise InvalidRequest("this deployment takes no adapters", "model")
        lease = asyncio.ensure_future(
            asyncio.to_thread(self._adapters.lease, adapter.name, adapter.folder)
        )
        try:
            return await asyncio.shield(lease)
        except asyncio.CancelledError:
            # The thread goes on: whatever it takes is for nobody.
            lease.add_done_callback(_release_unused)
            raise

    async def _prepared(self, request: TextRequest, arrived_s: float) -> PreparedRequest:
        constrained = request.constraint is not None or request.tool_use is not None
        if constrained or _characters(request) > LONG_PROMPT:
            return await asyncio.to_thread(self._intake.prepare, request, arrived_s)
        return self._intake.prepare(request, arrived_s)

    def _until_now(self, chunks: tuple[TextChunk, ...], arrived_s: float) -> tuple[TextChunk, ...]:
        """`total_s` ends where the last chunk leaves, not where the engine made it."""
        last = chunks[-1]
        if last.timings is None:
            return chunks
        timings = replace(last.timings, total_s=self._clock() - arrived_s)
        return (*chunks[:-1], replace(last, timings=timings))


def _release_unused(lease: asyncio.Future[Lease]) -> None:
    if not lease.cancelled() and lease.exception() is None:
        lease.result().release()


def _characters(request: TextRequest | CountTokensRequest) -> int:
    messages = request.messages or ()
    return len(request.text or "") + sum(len(message.content) for message in messages)
