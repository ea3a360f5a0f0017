"""The calls that answer one text request, as one stream of chunks.

Most requests need one call; OpenAI's completions take several prompts, which run
side by side. However it ends, every call is closed. Knows no dialect.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from bestiary.errors import BestiaryError, EngineFailure
from bestiary.schemas.routing import RouteDecision
from bestiary.schemas.text import FinishReason, TextChunk, TokenLogprob, ToolCallPiece
from services.gateway.dispatch import Call, TextCall
from services.gateway.exchange import Exchange

# A call that has told everything still has to say that it is over.
END_OF_STREAM_DEADLINE_S = 2.0
# Chunk tuples waiting for a slow client; then the calls wait too.
PENDING_CHUNKS = 64

Piece = tuple[int, tuple[TextChunk, ...]]  # (which prompt, its next chunks)


@dataclass(slots=True)
class CalledTool:
    """One call that a candidate makes."""

    name: str
    arguments: str = ""  # JSON, mostly: the model wrote it


@dataclass(slots=True)
class Candidate:
    """One finished candidate."""

    parts: list[str] = field(default_factory=list)
    finish_reason: FinishReason = FinishReason.STOP
    tool_calls: list[CalledTool] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    prompt_logprobs: tuple[TokenLogprob, ...] = ()
    completion_tokens: int = 0
    cumulative_logprob: float | None = None

    @property
    def text(self) -> str:
        return "".join(self.parts)

    def take(self, chunk: TextChunk) -> None:
        self.parts.append(chunk.text)
        self.logprobs += chunk.logprobs
        self.prompt_logprobs = self.prompt_logprobs or chunk.prompt_logprobs
        for piece in chunk.tool_calls:
            self._take_piece(piece)
        if chunk.finish_reason is not None:
            self.finish_reason = chunk.finish_reason
            self.cumulative_logprob = chunk.cumulative_logprob
        if chunk.usage is not None:
            self.completion_tokens = chunk.usage.completion_tokens

    def _take_piece(self, piece: ToolCallPiece) -> None:
        if piece.name is not None:
            self.tool_calls.append(CalledTool(piece.name))
        self.tool_calls[piece.index].arguments += piece.arguments


@dataclass(slots=True)
class Usage:
    """In tokens, over all prompts and candidates; a prompt counts once."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


class Endings:
    """Lets calls that have told everything end, off the request's path: its client has its answer.

    Serve sends the end of a stream as a message of its own, after the last chunk.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()  # the loop keeps only weak references

    def let_end(self, call: Call[object]) -> None:
        task = asyncio.create_task(self._await_end(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _await_end(self, call: Call[object]) -> None:
        try:
            with suppress(StopAsyncIteration, TimeoutError, BestiaryError):
                async with asyncio.timeout(END_OF_STREAM_DEADLINE_S):
                    await call.__anext__()
        finally:
            await call.aclose()


class Generation:
    """Iterate `pieces`, or `complete`; then `aclose`, in a `finally`."""

    def __init__(
        self, exchange: Exchange, calls: Sequence[TextCall], candidates: int, endings: Endings
    ) -> None:
        self.usage = Usage()
        self.prompts = len(calls)
        self.candidates = candidates  # per prompt
        self._exchange = exchange
        self._calls = tuple(calls)
        self._endings = endings
        self._unfinished = set(range(len(calls)))
        self._counted: set[int] = set()  # prompts whose tokens are in `usage`

    @property
    def decision(self) -> RouteDecision:
        return self._calls[0].record.decision

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """Until every call has told everything. Raises what the calls raise."""
        source = self._single() if len(self._calls) == 1 else self._side_by_side()
        try:
            async for piece in source:
                self._note(piece)
                yield piece
                if not self._unfinished:
                    break
            else:
                raise EngineFailure("a stream ended before its answer was complete")
        finally:
            self._exchange.dispatch_ends()
            await source.aclose()

    async def complete(self) -> tuple[tuple[Candidate, ...], ...]:
        """By prompt, then by candidate."""
        found = [[Candidate() for _ in range(self.candidates)] for _ in self._calls]
        async with aclosing(self.pieces()) as pieces:
            async for prompt, chunks in pieces:
                for chunk in chunks:
                    found[prompt][chunk.candidate].take(chunk)
        return tuple(tuple(candidates) for candidates in found)

    async def aclose(self) -> None:
        """Stops what still runs. A call that is complete is let end by itself."""
        for index, call in enumerate(self._calls):
            if index not in self._unfinished:
                self._endings.let_end(call)
            else:
                await call.aclose()

    def _note(self, piece: Piece) -> None:
        prompt, chunks = piece
        self._exchange.tokens_came()
        for chunk in chunks:
            if chunk.usage is not None:
                self._count(prompt, chunk)
            if chunk.timings is not None:
                self._unfinished.discard(prompt)
                self._exchange.engine_answered(chunk.timings)

    def _count(self, prompt: int, chunk: TextChunk) -> None:
        if chunk.usage is None:
            return
        if prompt not in self._counted:
            self._counted.add(prompt)
            self.usage.prompt_tokens += chunk.usage.prompt_tokens
            self.usage.cached_tokens += chunk.usage.cached_tokens
        self.usage.completion_tokens += chunk.usage.completion_tokens
        exchange = self._exchange
        exchange.prompt_tokens = self.usage.prompt_tokens
        exchange.generation_tokens = self.usage.completion_tokens
        exchange.longest_generation = max(
            exchange.longest_generation, chunk.usage.completion_tokens
        )

    async def _single(self) -> AsyncGenerator[Piece, None]:
        call = self._calls[0]
        while True:
            try:
                chunks = await call.__anext__()
            except StopAsyncIteration:
                return
            yield 0, chunks

    async def _side_by_side(self) -> AsyncGenerator[Piece, None]:
        pending: asyncio.Queue[Piece | Exception | None] = asyncio.Queue(PENDING_CHUNKS)
        tasks = [
            asyncio.create_task(_forward(index, call, pending))
            for index, call in enumerate(self._calls)
        ]
        running = len(tasks)
        try:
            while running:
                item = await pending.get()
                if item is None:
                    running -= 1
                elif isinstance(item, Exception):
                    raise item
                else:
                    yield item
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _forward(
    index: int, call: TextCall, pending: asyncio.Queue[Piece | Exception | None]
) -> None:
    try:
        while True:
            await pending.put((index, await call.__anext__()))
    except StopAsyncIteration:
        await pending.put(None)
    except Exception as error:  # noqa: BLE001  (raised again by whoever reads the queue)
        await pending.put(error)
