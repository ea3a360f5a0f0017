"""A stream of summaries or translations, blocking. Its twin: `_async_rewrite_streaming.py`."""

from __future__ import annotations

from bestiary_client._receipts import LastReceipt
from bestiary_client._rewrite_assembly import RewriteAssembly, RewriteSoFar, text_of_first
from bestiary_client._streaming import Opening, PieceStream
from bestiary_client._task_results import Results, RewriteEvent, Rewriting


class RewriteStream(RewriteSoFar, PieceStream[RewriteEvent, Results[Rewriting]]):
    """The first input's text in pieces, as they come; `events()` has those of all inputs.

    Opened, left and broken as a `TextStream`. Beam search has one piece for each input.
    """

    def __init__(self, opening: Opening, last: LastReceipt) -> None:
        RewriteSoFar.__init__(self, RewriteAssembly())
        PieceStream.__init__(self, opening, self._assembly, last)

    def _piece(self, event: RewriteEvent) -> str | None:
        return text_of_first(event)
