"""Whether bytes are one picture of a bearable size. Decodes it once to know, and keeps nothing."""

from __future__ import annotations

import io

from PIL import Image, UnidentifiedImageError

from services.tuning.data.rows import Unfit

FORMATS = ("PNG", "JPEG", "WEBP")
# Pillow warns over one bound and raises over its double; the bound here is the caller's.
Image.MAX_IMAGE_PIXELS = None


def check_picture(name: str, data: bytes, max_pixels: int) -> None:
    """Looks at the header before anything is decoded. Raises Unfit."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            pixels = opened.width * opened.height
            if pixels > max_pixels:
                raise Unfit(f"{name!r} has {pixels} pixels; the limit: {max_pixels}")
            if getattr(opened, "n_frames", 1) > 1:
                raise Unfit(f"{name!r} is an animation; give one picture")
            opened.load()
    except Unfit:
        raise
    except UnidentifiedImageError:
        raise Unfit(f"{name!r} is no PNG, JPEG or WebP picture") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise Unfit(f"{name!r} is damaged: {error}") from error
