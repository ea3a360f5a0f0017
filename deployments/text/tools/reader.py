"""An answer's chunks, with the tool calls taken out of their text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bestiary.schemas.text import FinishReason, TextChunk
from deployments.text.tools.tool_format import CallReader, Read, ToolFormat


@dataclass(frozen=True, slots=True)
class ToolReading:
    """How one request's calls are read. What calls no tool of `names` stays text."""

    format: ToolFormat
    names: frozenset[str]
    parallel: bool = True  # False: only an answer's first call counts

    def begin(self) -> ChunkReader:
        return ChunkReader(self)


class ChunkReader:
    """Of all candidates of one request."""

    def __init__(self, reading: ToolReading) -> None:
        self._reading = reading
        self._readers: dict[int, CallReader] = {}
        self._called: set[int] = set()  # candidates that have called something

    def read(self, chunks: Iterable[TextChunk]) -> tuple[TextChunk, ...]:
        """As many chunks: tokens, usage and timings stay where they are."""
        return tuple(self._read(chunk) for chunk in chunks)

    def _read(self, chunk: TextChunk) -> TextChunk:
        reader = self._readers.get(chunk.candidate)
        if reader is None:
            reader = self._reading.format.reader(self._reading.names)
            self._readers[chunk.candidate] = reader
        read = reader.push(chunk.text)
        if chunk.finish_reason is not None:
            last = reader.finish()
            read = Read(read.text + last.text, read.calls + last.calls)
        calls = read.calls
        if not self._reading.parallel:
            calls = tuple(piece for piece in calls if piece.index == 0)
        if calls:
            self._called.add(chunk.candidate)
        return replace(chunk, text=read.text, tool_calls=calls, finish_reason=self._reason(chunk))

    def _reason(self, chunk: TextChunk) -> FinishReason | None:
        if chunk.finish_reason is FinishReason.STOP and chunk.candidate in self._called:
            return FinishReason.TOOL_CALLS
        return chunk.finish_reason
