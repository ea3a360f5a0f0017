"""The call to an image model that answers one request for pictures. Knows no wire."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from bestiary.errors import EngineFailure
from bestiary.schemas.image import GeneratedImage, ImageChunk
from bestiary.schemas.routing import RouteDecision
from bestiary.schemas.text import EngineTimings
from services.gateway.dispatch import Call
from services.gateway.exchange import Exchange
from services.gateway.generation import Endings


class Drawing:
    """Iterate `pieces`, or `complete`; then `aclose`, in a `finally`."""

    def __init__(self, exchange: Exchange, call: Call[ImageChunk], endings: Endings) -> None:
        self._exchange = exchange
        self._call = call
        self._endings = endings
        self._images: dict[int, GeneratedImage] = {}
        self._timings: EngineTimings | None = None  # None: not complete

    @property
    def decision(self) -> RouteDecision:
        return self._call.record.decision

    @property
    def images(self) -> tuple[GeneratedImage, ...]:
        """Those that are done, in their order."""
        return tuple(image for _, image in sorted(self._images.items()))

    async def complete(self) -> tuple[GeneratedImage, ...]:
        async for _ in self.pieces():
            pass
        return self.images

    async def pieces(self) -> AsyncGenerator[tuple[int, ImageChunk], None]:
        """By picture, until all are done. Raises what the call raises."""
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

    def _note(self, chunk: ImageChunk) -> None:
        if chunk.image is not None:
            self._images[chunk.index] = chunk.image
            self._exchange.images = len(self._images)
        if chunk.timings is not None:
            self._timings = chunk.timings
            self._exchange.engine_answered(chunk.timings)
