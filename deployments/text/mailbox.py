"""Where one request's chunks wait for their reader, on the event loop.

Used from the event loop's thread only. Not bounded in itself: a request can put at
most its own max_tokens into it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from bestiary.errors import BestiaryError
from bestiary.schemas.text import TextChunk


class Mailbox:
    """One writer, one reader."""

    def __init__(self) -> None:
        self._chunks: list[TextChunk] = []
        self._error: BestiaryError | None = None
        self._news = asyncio.Event()

    def post(self, chunks: Iterable[TextChunk]) -> None:
        self._chunks.extend(chunks)
        self._news.set()

    def fail(self, error: BestiaryError) -> None:
        """What was posted before is still read before the error is."""
        self._error = self._error or error
        self._news.set()

    async def take(self) -> tuple[TextChunk, ...]:
        """Everything that has arrived, at least one chunk. Raises the error, if one was posted."""
        await self._news.wait()
        if not self._chunks:
            assert self._error is not None
            raise self._error
        chunks, self._chunks = tuple(self._chunks), []
        if self._error is None:
            self._news.clear()
        return chunks
