"""A stream of summaries or translations for asyncio. Its twin: `_rewrite_streaming.py`."""

from __future__ import annotations

from bestiary_client._async_streaming import AsyncPieceStream, Opening
from bestiary_client._receipts import LastReceipt
from bestiary_client._rewrite_assembly import RewriteAssembly, RewriteSoFar, text_of_first
from bestiary_client._task_results import Results, RewriteEvent, Rewriting


class AsyncRewriteStream(RewriteSoFar, AsyncPieceStream[RewriteEvent, Results[Rewriting]]):
    """As `RewriteStream`: `async with ... as stream: async for delta in stream:`."""

    def __init__(self, opening: Opening, last: LastReceipt) -> None:
        RewriteSoFar.__init__(self, RewriteAssembly())
        AsyncPieceStream.__init__(self, opening, self._assembly, last)

    def _piece(self, event: RewriteEvent) -> str | None:
        return text_of_first(event)
