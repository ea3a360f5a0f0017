"""A stream of summaries or translations for asyncio. Its twin: `_rewrite_streaming.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType

from typing_extensions import Self

from bestiary_client._async_streaming import Opening, read_events
from bestiary_client._receipts import LastReceipt
from bestiary_client._rewrite_assembly import RewriteAssembly, RewriteSoFar
from bestiary_client._task_results import Results, RewriteDelta, RewriteEvent, Rewriting


class AsyncRewriteStream(RewriteSoFar):
    """As `RewriteStream`: `async with ... as stream: async for delta in stream:`."""

    def __init__(self, opening: Opening, last: LastReceipt) -> None:
        super().__init__(RewriteAssembly())
        # The generator must not know this object: without a cycle, dropping it hangs up at once.
        self._events = read_events(opening, self._assembly, last)

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        async for event in self._events:
            if isinstance(event, RewriteDelta) and event.index == 0:
                return event.text
        raise StopAsyncIteration

    async def events(self) -> AsyncIterator[RewriteEvent]:
        """Everything; each event says which input it is of."""
        async for event in self._events:
            if event is not None:
                yield event

    async def finish(self) -> Results[Rewriting]:
        """Reads to the end, and gives all results, earlier pieces included."""
        async for _ in self._events:
            pass
        self._assembly.check_done()
        return self._assembly.results()

    async def aclose(self) -> None:
        """Hangs up. May be called again."""
        await self._events.aclose()

    async def __aenter__(self) -> Self:
        await self._events.__anext__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
