"""A stream of pictures on their way, blocking. Its twin: `_async_image_streaming.py`."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from typing_extensions import Self

from bestiary_client._frames import StreamFacts
from bestiary_client._image_assembly import ImageAssembly
from bestiary_client._image_results import GeneratedImage, ImageEvent, ImageResults
from bestiary_client._receipts import LastReceipt
from bestiary_client._streaming import Opening, read_events


class ImageStream(StreamFacts):
    """Progress, previews and finished pictures, as they come: `with ... as stream: for event in`.

    Opened, left and broken as a `TextStream`: leaving early stops the work.
    """

    def __init__(self, opening: Opening, last: LastReceipt) -> None:
        self._assembly = ImageAssembly()
        super().__init__(self._assembly)
        # The generator must not know this object: without a cycle, dropping it hangs up at once.
        self._events = read_events(opening, self._assembly, last)

    def __iter__(self) -> Iterator[ImageEvent]:
        return (event for event in self._events if event is not None)

    def finish(self) -> ImageResults[GeneratedImage]:
        """Reads to the end, and gives the whole answer, earlier pictures included."""
        for _ in self._events:
            pass
        self._assembly.check_done()
        return self._assembly.whole()

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
