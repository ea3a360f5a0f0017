"""The call to an encoder-decoder that answers one streaming request. Knows no wire."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from bestiary.errors import EngineFailure
from bestiary.schemas.routing import RouteDecision
from bestiary.schemas.seq2seq import Seq2SeqChunk, Seq2SeqOutput
from bestiary.schemas.text import EngineTimings
from services.gateway.dispatch import Call
from services.gateway.exchange import Exchange
from services.gateway.generation import Endings
from services.gateway.task_usage import TaskUsage, usage_of_outputs


class Rewriting:
    """Iterate `pieces`; then `aclose`, in a `finally`."""

    def __init__(self, exchange: Exchange, call: Call[Seq2SeqChunk], endings: Endings) -> None:
        self._exchange = exchange
        self._call = call
        self._endings = endings
        self._outputs: list[Seq2SeqOutput] = []
        self._timings: EngineTimings | None = None  # None: not complete

    @property
    def decision(self) -> RouteDecision:
        return self._call.record.decision

    @property
    def usage(self) -> TaskUsage:
        """Of the inputs that are done."""
        return usage_of_outputs(self._outputs, self._timings or EngineTimings())

    async def pieces(self) -> AsyncGenerator[tuple[int, Seq2SeqChunk], None]:
        """By input, until each is complete. Raises what the call raises."""
        try:
            while self._timings is None:
                try:
                    chunk = await self._call.__anext__()
                except StopAsyncIteration:
                    raise EngineFailure("a stream ended before its answer was complete") from None
                self._note(chunk)
                yield chunk.index, chunk
        finally:
            self._exchange.dispatch_ends()

    async def aclose(self) -> None:
        """Stops what still runs. A call that is complete is let end by itself."""
        if self._timings is None:
            await self._call.aclose()
        else:
            self._endings.let_end(self._call)

    def _note(self, chunk: Seq2SeqChunk) -> None:
        exchange = self._exchange
        exchange.tokens_came()
        if chunk.output is not None:
            self._outputs.append(chunk.output)
            exchange.prompt_tokens += chunk.output.prompt_tokens
            exchange.generation_tokens += chunk.output.completion_tokens
            longest = max(exchange.longest_generation, chunk.output.completion_tokens)
            exchange.longest_generation = longest
        if chunk.timings is not None:
            self._timings = chunk.timings
            exchange.engine_answered(chunk.timings)
