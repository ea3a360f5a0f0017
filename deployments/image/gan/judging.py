"""What a discriminator says of pictures, as a probability that they are real.

The logit is turned into a probability as was fitted on held-out pictures (Platt, 1999); a model
whose card has no such fit says its bare sigmoid, and that it is not calibrated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bestiary.schemas.image import Discrimination
from deployments.image.decoding import Pixels
from deployments.image.pixels import to_floats
from deployments.image.row_batcher import Row
from deployments.kernels import image_names as names


class Judge:
    """`facts` are the discriminator's, see `kernels/image_gan.py`."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._classes = int(facts["classes"])
        self._scale, self._bias = float(facts["scale"]), float(facts["bias"])
        self._calibrated = bool(facts["calibrated"])

    def rows(self, pixels: Pixels, label: int | None) -> list[Row]:
        """Of one picture: as one of its class, or else as one of each."""
        image = to_floats(pixels)
        labels = range(self._classes) if label is None else (label,)
        return [{names.IMAGE: image, names.LABEL: np.array(one, np.int64)} for one in labels]

    def rows_each(self, label: int | None) -> int:
        return self._classes if label is None else 1

    def said(self, logits: Sequence[float]) -> Discrimination:
        """Of the class that suits the picture best."""
        score = max(logits)
        return Discrimination(
            score=score,
            probability=_sigmoid(self._scale * score + self._bias),
            calibrated=self._calibrated,
        )


def _sigmoid(value: float) -> float:
    if value < 0:
        return math.exp(value) / (1 + math.exp(value))
    return 1 / (1 + math.exp(-value))
