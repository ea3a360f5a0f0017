"""One request on its way through a model that is done in one run of each of its networks.

Pictures are opened and written in a thread of their own; rows wait in the batcher; what took how
long is told at the end. Knows no task.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from typing import TypeVar

import numpy as np

from bestiary.errors import EngineFailure
from bestiary.garden.image_facts import ImageFacts
from bestiary.schemas.image import EncodedImage, ImageRequest
from bestiary.schemas.text import EngineTimings
from deployments.image.decoding import Pixels, decode_picture
from deployments.image.fitting import fitted
from deployments.image.limits import ImageLimits
from deployments.image.pixels import Floats
from deployments.image.row_batcher import Answer, Guest, Row, RowBatcher

Made = TypeVar("Made")


class Call:
    """`executor` is where pictures are opened and written."""

    def __init__(
        self, request: ImageRequest, guest: Guest, batcher: RowBatcher, executor: Executor
    ) -> None:
        self._guest = guest
        self._batcher = batcher
        self._executor = executor
        self._arrived = time.perf_counter()
        self._until = None if request.deadline_s is None else self._arrived + request.deadline_s
        self._encode_s = 0.0
        self._pictures_s = 0.0

    async def off_loop(self, make: Callable[[], Made]) -> Made:
        started = time.perf_counter()
        made = await asyncio.get_running_loop().run_in_executor(self._executor, make)
        self._pictures_s += time.perf_counter() - started
        return made

    async def stream(self, part: str, rows: Sequence[Row]) -> AsyncGenerator[Answer, None]:
        """As they come, see `RowBatcher.stream`; outputs are finite."""
        async with aclosing(self._batcher.stream(self._guest, part, rows, self._until)) as answers:
            async for answer in answers:
                _require_finite(answer)
                yield answer

    async def run(self, part: str, rows: Sequence[Row]) -> list[Answer]:
        """In the order of the rows."""
        found = [answer async for answer in self.stream(part, rows)]
        return sorted(found, key=lambda answer: answer.index)

    async def encode(self, part: str, rows: Sequence[Row]) -> list[Answer]:
        """`run`, whose time is told as that of encoding what was given."""
        before = self._guest.run_s
        answers = await self.run(part, rows)
        self._encode_s += self._guest.run_s - before
        return answers

    def timings(self) -> EngineTimings:
        total = time.perf_counter() - self._arrived
        run_s = self._guest.run_s
        return EngineTimings(
            queue_s=max(0.0, total - run_s - self._pictures_s),
            prefill_s=self._encode_s,
            decode_s=run_s - self._encode_s,
            total_s=total,
        )


def pictures_given(
    images: Sequence[EncodedImage], facts: ImageFacts, limits: ImageLimits, param: str
) -> list[Pixels]:
    """Fitted to the model's size, uint8 [height, width, channels].

    Raises ImageTooLarge and ImageUnreadable, which name `param`.
    """
    return [
        fitted(decode_picture(image, limits, param), facts.width, facts.height, facts.channels)
        for image in images
    ]


def _require_finite(answer: Answer) -> None:
    if not all(np.isfinite(one).all() for one in answer.outputs):
        raise EngineFailure("the model's output is not finite")


def mean_of(ends: tuple[Floats, Floats], share: float) -> Floats:
    """On the straight line from one to the other."""
    between: Floats = (1 - np.float32(share)) * ends[0] + np.float32(share) * ends[1]
    return between.astype(np.float32)
