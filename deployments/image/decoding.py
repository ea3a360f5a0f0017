"""A file that a caller sent -> pixels. The only place where such a file is opened.

Looks at the header first: nothing is decoded that is too large, moves, or is of a format that
nobody needs. Metadata ends here: EXIF turns the picture, and is dropped with all else.
https://pillow.readthedocs.io/en/stable/reference/Image.html
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from bestiary.errors import ImageTooLarge, ImageUnreadable
from bestiary.schemas.image import MAX_SIDE, EncodedImage
from deployments.image.limits import ImageLimits

Pixels = NDArray[np.uint8]  # [height, width, channels]

FORMATS = ("PNG", "JPEG", "WEBP")
# Pillow warns over one bound and raises over its double; the bound here is the profile's.
Image.MAX_IMAGE_PIXELS = None
SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N", "I")


def decode_picture(image: EncodedImage, limits: ImageLimits, param: str) -> Pixels:
    """[height, width, 3], or 4 where the picture has transparency.

    Raises ImageTooLarge and ImageUnreadable, which name `param`.
    """
    try:
        with Image.open(io.BytesIO(image.data), formats=FORMATS) as opened:
            _check_header(opened, limits, param)
            opened.load()
            turned = ImageOps.exif_transpose(opened)
            return _pixels(turned)
    except UnidentifiedImageError:
        raise ImageUnreadable(f"{param} is no PNG, JPEG or WebP picture", param) from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ImageUnreadable(f"{param} is damaged: {error}", param) from error


def _check_header(opened: Image.Image, limits: ImageLimits, param: str) -> None:
    if max(opened.size) > MAX_SIDE:
        raise ImageTooLarge(
            f"{param} is {opened.width}x{opened.height} pixels; a side is at most {MAX_SIDE}", param
        )
    limits.check_size(*opened.size, param)
    if getattr(opened, "n_frames", 1) > 1:
        raise ImageUnreadable(f"{param} is an animation; send one picture", param)


def _pixels(image: Image.Image) -> Pixels:
    if image.mode in SIXTEEN_BITS:
        grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.array(image.convert("RGBA" if image.has_transparency_data else "RGB"))
