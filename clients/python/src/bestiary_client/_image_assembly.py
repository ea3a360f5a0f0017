"""An image stream's frames -> events, and the whole results out of them. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterator

from bestiary_client._errors import UnexpectedReply
from bestiary_client._frames import FrameReader
from bestiary_client._image_replies import generated, picture, usage
from bestiary_client._image_results import (
    GeneratedImage,
    ImageDone,
    ImageEvent,
    ImageProgress,
    ImageResults,
    ImageUsage,
)
from bestiary_client._json import JsonObject, get, get_optional


class ImageAssembly(FrameReader[ImageEvent, ImageResults[GeneratedImage]]):
    """Of the native wire: each frame is news of one picture, or tells the usage."""

    def __init__(self) -> None:
        super().__init__()
        self._cost: ImageUsage | None = None
        self._begun: set[int] = set()
        self._done: dict[int, GeneratedImage] = {}

    def read(self, frame: JsonObject) -> Iterator[ImageEvent]:
        if "index" not in frame:
            return
        index, preview = get(frame, "index", int), get_optional(frame, "preview", dict)
        self._begun.add(index)
        yield ImageProgress(
            index,
            get(frame, "step", int),
            get(frame, "steps", int),
            None if preview is None else picture(preview),
        )
        image = get_optional(frame, "image", dict)
        if image is not None:
            self._done[index] = generated(image)
            yield ImageDone(index, self._done[index])

    def whole(self) -> ImageResults[GeneratedImage]:
        """Raises UnexpectedReply where a picture was begun and never ended."""
        if self._cost is None or self._begun != self._done.keys():
            raise UnexpectedReply("the stream left a picture without its end")
        return ImageResults(
            model=self.model,
            items=tuple(image for _, image in sorted(self._done.items())),
            usage=self._cost,
            request_id=self.headers.get("x-request-id"),
            receipt=self.receipt,
        )

    def _note(self, frame: JsonObject) -> None:
        """Pictures are not counted in tokens."""
        told = get_optional(frame, "usage", dict)
        super()._note({name: value for name, value in frame.items() if name != "usage"})
        if told is not None:
            self._cost = usage(told)
