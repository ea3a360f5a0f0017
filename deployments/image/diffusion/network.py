"""The UNet as the engine calls it: rows of one shape in, predictions out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deployments.image.diffusion.course import Row
from deployments.image.pixels import Floats
from deployments.kernels import image_names as names
from deployments.kernels.image_session import Array, Networks


class UNet:
    def __init__(self, networks: Networks) -> None:
        facts = networks.facts(names.UNET)
        self._networks = networks
        self.in_channels = int(facts["in_channels"])
        self.out_channels = int(facts["out_channels"])
        self.height = int(facts["height"])  # of what it was trained on
        self.width = int(facts["width"])
        self.states = int(facts["states"])  # width of the prompt's; 0: it reads none
        self.classes = int(facts["classes"])
        self.multiple = 2 ** int(facts["halvings"])  # that sides have to be of

    def predict(self, rows: Sequence[Row]) -> Floats:
        """[rows, channels, h, w]."""
        given: dict[str, Array] = {
            names.SAMPLE: np.stack([row.sample for row in rows]),
            names.TIMESTEP: np.array([row.timestep for row in rows], np.float32),
        }
        if self.states:
            given[names.STATES] = np.stack([row.states for row in rows if row.states is not None])
        if self.classes:
            given[names.LABEL] = np.array([row.label or 0 for row in rows], np.int64)
        return self._networks.run(names.UNET, given)[0]
