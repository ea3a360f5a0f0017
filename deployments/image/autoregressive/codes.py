"""Pixels <-> the codes that a model counts in: each is the number of its nearest colour.

ImageGPT's (`preprocessor_config.json`): `clusters`, [K, 1 or 3] in -1..1. Tokens below K are
codes; then come the classes, if the model knows some; the last one begins a picture of any class.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import KernelError
from bestiary.garden.image_facts import ImageFacts
from deployments.image.decoding import Pixels
from deployments.image.pixels import to_floats, to_pixels
from deployments.kernels.image_components import read_json

PREPROCESSOR_FILE = "preprocessor_config.json"
UNKNOWN = -1  # a place that is not drawn yet
Codes = NDArray[np.int64]


class PixelCodes:
    """Codes are [height * width], row by row. Raises KernelError for a folder that lacks them."""

    def __init__(self, folder: Path, facts: ImageFacts, vocabulary: int) -> None:
        clusters = np.array(read_json(folder / PREPROCESSOR_FILE).get("clusters") or [], np.float32)
        if clusters.ndim != 2 or clusters.shape[1] not in (1, 3):
            raise KernelError(f"{folder / PREPROCESSOR_FILE} has no clusters [K, 1 or 3]")
        self.count = len(clusters)
        self.any_class = vocabulary - 1
        if self.count + len(facts.classes) > self.any_class:
            raise KernelError(
                f"{folder} has {vocabulary} tokens: too few for {self.count} colours, "
                f"{len(facts.classes)} classes and a beginning"
            )
        channels = facts.channels
        self._colours = np.broadcast_to(clusters[:, :channels], (self.count, channels))
        self._shape = (facts.height, facts.width, channels)
        middle = np.abs(self._colours).sum(1).argmin()
        self._unknown = int(middle)  # what an unfinished place is shown as

    def first_token(self, label: int | None) -> int:
        return self.any_class if label is None else self.count + label

    def codes_of(self, pixels: Pixels) -> Codes:
        flat = to_floats(pixels).reshape(pixels.shape[2], -1).T
        apart = np.square(flat[:, None] - self._colours[None]).sum(2)
        nearest: Codes = apart.argmin(1)
        return nearest

    def pixels_of(self, codes: Sequence[int] | Codes) -> Pixels:
        """Of fewer codes than there are places too."""
        whole = np.full(self._shape[0] * self._shape[1], self._unknown)
        whole[: len(codes)] = codes
        floats = self._colours[whole].reshape(self._shape).transpose(2, 0, 1)
        return to_pixels(floats)
