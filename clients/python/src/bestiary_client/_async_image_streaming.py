"""A stream of pictures on their way, for asyncio. Its twin: `_image_streaming.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType

from typing_extensions import Self

from bestiary_client._async_streaming import Opening, read_events
from bestiary_client._frames import StreamFacts
from bestiary_client._image_assembly import ImageAssembly
from bestiary_client._image_results import GeneratedImage, ImageEvent, ImageResults
from bestiary_client._receipts import LastReceipt


class AsyncImageStream(StreamFacts):
    """As `ImageStream`: `async with ... as stream: async for event in stream:`."""

    def __init__(self, opening: Opening, last: LastReceipt) -> None:
        self._assembly = ImageAssembly()
        super().__init__(self._assembly)
        # The generator must not know this object: without a cycle, dropping it hangs up at once.
        self._events = read_events(opening, self._assembly, last)

    async def __aiter__(self) -> AsyncIterator[ImageEvent]:
        async for event in self._events:
            if event is not None:
                yield event

    async def finish(self) -> ImageResults[GeneratedImage]:
        """Reads to the end, and gives the whole answer, earlier pictures included."""
        async for _ in self._events:
            pass
        self._assembly.check_done()
        return self._assembly.whole()

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
