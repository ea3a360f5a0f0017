"""The call to an image model that answers one request for pictures. Knows no wire."""

from __future__ import annotations

from bestiary.schemas.image import GeneratedImage, ImageChunk
from services.gateway.dispatch import Call
from services.gateway.exchange import Exchange
from services.gateway.generation import Endings
from services.gateway.task_call import TaskCall


class Drawing(TaskCall[ImageChunk]):
    """Iterate `pieces`, or `complete`; then `aclose`, in a `finally`."""

    def __init__(self, exchange: Exchange, call: Call[ImageChunk], endings: Endings) -> None:
        super().__init__(exchange, call, endings)
        self._images: dict[int, GeneratedImage] = {}

    @property
    def images(self) -> tuple[GeneratedImage, ...]:
        """Those that are done, in their order."""
        return tuple(image for _, image in sorted(self._images.items()))

    async def complete(self) -> tuple[GeneratedImage, ...]:
        async for _ in self.pieces():
            pass
        return self.images

    def _note(self, piece: ImageChunk) -> None:
        if piece.image is not None:
            self._images[piece.index] = piece.image
            self._exchange.images = len(self._images)
