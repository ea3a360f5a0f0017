"""A picture's bytes -> pixels of the model's size: the middle of it, scaled, over white."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from bestiary.errors import ImageUnreadable
from services.tuning.data.examples import CaptionedImage


def pixels_of(picture: CaptionedImage, width: int, height: int) -> Tensor:
    """Float [3, H, W] in [-1, 1]. Raises ImageUnreadable, naming the picture."""
    try:
        with Image.open(io.BytesIO(picture.data)) as opened:
            upright = ImageOps.exif_transpose(opened).convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageUnreadable(f"{picture.name} is no picture: {error}", "training_file") from error
    fitted = ImageOps.fit(upright, (width, height), Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", fitted.size, "white")
    canvas.alpha_composite(fitted)
    values = np.asarray(canvas.convert("RGB"), np.float32) / 127.5 - 1
    return torch.from_numpy(values).permute(2, 0, 1).contiguous()
