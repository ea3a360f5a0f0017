"""Photographs that scikit-image's wheel has: what an emoji model has never seen anything like."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.data.packages import SCIKIT_IMAGE, archive_of, members

FILES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
FOLDER = "skimage/data/"


@cache
def photographs() -> dict[str, Tensor]:
    """By name: uint8 [1, 3, H, W], sides cut to multiples of 32."""
    wanted = {FOLDER + name for name in FILES}
    found = members(archive_of(SCIKIT_IMAGE), wanted.__contains__)
    return {name.removeprefix(FOLDER).split(".")[0]: _read(content) for name, content in found}


def tiles(picture: Tensor, side: int) -> Tensor:
    """[1, 3, H, W] -> whole squares [N, 3, side, side], row by row."""
    cut = picture.unfold(2, side, side).unfold(3, side, side)[0]
    return cut.permute(1, 2, 0, 3, 4).reshape(-1, 3, side, side)


def _read(content: bytes) -> Tensor:
    with Image.open(io.BytesIO(content)) as opened:
        values = np.asarray(opened.convert("RGB"))
    height, width = (side // 32 * 32 for side in values.shape[:2])
    return torch.from_numpy(values[:height, :width].copy()).permute(2, 0, 1)[None]
