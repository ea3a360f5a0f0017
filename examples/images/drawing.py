"""A picture to work on, drawn here so that the examples need no file."""

from __future__ import annotations

import io

from bestiary_client import Picture
from PIL import Image, ImageDraw, ImageFont


def as_picture(image: Image.Image) -> Picture:
    held = io.BytesIO()
    image.save(held, "png")
    return Picture(held.getvalue(), "png", image.width, image.height)


def face(side: int = 64) -> Picture:
    """A yellow disc with eyes and a mouth, on white."""
    image = Image.new("RGB", (side, side), "white")
    draw, unit = ImageDraw.Draw(image), side / 16
    draw.ellipse((unit, unit, 15 * unit, 15 * unit), "#ffcc33")
    for x in (5, 10):
        draw.ellipse((x * unit, 5 * unit, (x + 1.5) * unit, 7 * unit), "#553311")
    draw.arc((4 * unit, 6 * unit, 12 * unit, 13 * unit), 20, 160, "#553311", max(1, side // 24))
    return as_picture(image)


def heart(side: int = 64) -> Picture:
    """A red one, on white."""
    image = Image.new("RGB", (side, side), "white")
    draw, unit = ImageDraw.Draw(image), side / 16
    for x in (1.5, 7.5):
        draw.ellipse((x * unit, 2 * unit, (x + 7) * unit, 9 * unit), "#dd2e44")
    draw.polygon([(2 * unit, 7 * unit), (14 * unit, 7 * unit), (8 * unit, 15 * unit)], "#dd2e44")
    return as_picture(image)


def digit(which: str, side: int = 64) -> Picture:
    """White on black, as large as the picture."""
    image = Image.new("RGB", (side, side), "black")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(side)
    draw.text((side / 2, side / 2), which, "white", font, anchor="mm")
    return as_picture(image)


def upper_half(side: int = 64) -> Picture:
    """A mask: white above, black below."""
    image = Image.new("L", (side, side), 0)
    ImageDraw.Draw(image).rectangle((0, 0, side, side // 2), 255)
    return as_picture(image)
