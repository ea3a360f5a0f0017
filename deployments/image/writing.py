"""Pixels -> a file that is handed out, with its provenance inside.

PNG: a text chunk named `bestiary`. WebP (lossless): EXIF's ImageDescription.
https://www.w3.org/TR/png-3/#11tEXt
"""

from __future__ import annotations

import io

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bestiary.schemas.image import ImageFormat, Picture
from deployments.image.decoding import Pixels
from deployments.image.provenance import SOFTWARE, Provenance

PNG_KEY = "bestiary"
EXIF_DESCRIPTION = 0x010E
EXIF_SOFTWARE = 0x0131


def write_picture(pixels: Pixels, format: ImageFormat, provenance: Provenance) -> Picture:
    """`pixels` is uint8 [height, width, 1, 3 or 4]."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    written = io.BytesIO()
    if format is ImageFormat.PNG:
        said = PngInfo()
        said.add_text("Software", SOFTWARE)
        said.add_text(PNG_KEY, provenance.as_json())
        image.save(written, "PNG", pnginfo=said)
    else:
        exif = Image.Exif()
        exif[EXIF_SOFTWARE] = SOFTWARE
        exif[EXIF_DESCRIPTION] = provenance.as_json()
        image.save(written, "WEBP", lossless=True, exif=exif)
    return Picture(written.getvalue(), format, image.width, image.height)
