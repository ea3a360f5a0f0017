"""A stream of summaries or translations, blocking. Its twin: `_async_rewrite_streaming.py`."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from typing_extensions import Self

from bestiary_client._receipts import LastReceipt
from bestiary_client._rewrite_assembly import RewriteAssembly, RewriteSoFar
from bestiary_client._streaming import Opening, read_events
from bestiary_client._task_results import Results, RewriteDelta, RewriteEvent, Rewriting


class RewriteStream(RewriteSoFar):
    """The first input's text in pieces, as they come; `events()` has those of all inputs.

    Opened, left and broken as a `TextStream`. Beam search has one piece for each input.
    """

    def __init__(self, opening: Opening, last: LastReceipt) -> None:
        super().__init__(RewriteAssembly())
        # The generator must not know this object: without a cycle, dropping it hangs up at once.
        self._events = read_events(opening, self._assembly, last)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for event in self._events:
            if isinstance(event, RewriteDelta) and event.index == 0:
                return event.text
        raise StopIteration

    def events(self) -> Iterator[RewriteEvent]:
        """Everything; each event says which input it is of."""
        return (event for event in self._events if event is not None)

    def finish(self) -> Results[Rewriting]:
        """Reads to the end, and gives all results, earlier pieces included."""
        for _ in self._events:
            pass
        self._assembly.check_done()
        return self._assembly.results()

    def close(self) -> None:
        """Hangs up. May be called again."""
        self._events.close()

    def __enter__(self) -> Self:
        next(self._events)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
