"""Pixels of any size -> pixels as a model wants them, and masks. Knows no model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deployments.image.decoding import Pixels

Mask = NDArray[np.bool_]  # [height, width]; true: to be made anew
OPAQUE = 255
HALF = 128


def fitted(pixels: Pixels, width: int, height: int, channels: int = 3) -> Pixels:
    """[height, width, channels]: the middle of the picture in the shape that is asked for.

    What is transparent becomes white. One channel: luma, ITU-R 601.
    """
    image = Image.fromarray(on_white(pixels)).convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        box = _middle(image.size, width, height)
        image = image.resize((width, height), Image.Resampling.LANCZOS, box=box)
    return np.array(image).reshape(height, width, channels)


def on_white(pixels: Pixels) -> Pixels:
    """[height, width, 3]."""
    if pixels.shape[2] == 3:
        return pixels
    alpha = pixels[:, :, 3:].astype(np.uint32)
    mixed = pixels[:, :, :3] * alpha + OPAQUE * (OPAQUE - alpha)
    return ((mixed + OPAQUE // 2) // OPAQUE).astype(np.uint8)


def mask_of(pixels: Pixels, width: int, height: int) -> Mask:
    """Of a picture with transparency what is more transparent than not, else what is light."""
    grey = (
        OPAQUE - pixels[:, :, 3]
        if pixels.shape[2] == 4
        else np.array(Image.fromarray(pixels).convert("L"))
    )
    image = Image.fromarray(grey)
    if image.size != (width, height):
        box = _middle(image.size, width, height)
        image = image.resize((width, height), Image.Resampling.BOX, box=box)
    return np.array(image) >= HALF


def _middle(size: tuple[int, int], width: int, height: int) -> tuple[float, float, float, float]:
    """The largest box of the target's aspect, around the middle."""
    scale = min(size[0] / width, size[1] / height)
    left, top = (size[0] - width * scale) / 2, (size[1] - height * scale) / 2
    return left, top, left + width * scale, top + height * scale
