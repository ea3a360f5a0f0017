"""Files that come in and go out: what is opened, what is refused before it is, what is kept."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from bestiary.errors import ImageTooLarge, ImageUnreadable
from bestiary.schemas.image import EncodedImage, ImageFormat
from deployments.image.decoding import decode_picture
from deployments.image.fitting import fitted, mask_of
from deployments.image.limits import ImageLimits
from deployments.image.pixels import to_floats, to_pixels
from deployments.image.provenance import Provenance
from deployments.image.writing import write_picture

LIMITS = ImageLimits(max_pixels=10_000, max_images=4, max_steps=10)
RED = (255, 0, 0)
ORIENTATION = 0x0112
ROTATED = 6  # the camera was held sideways


def encoded(image: Image.Image, format: str, **options: object) -> EncodedImage:
    written = io.BytesIO()
    image.save(written, format, **options)
    return EncodedImage(data=written.getvalue())


def bomb(side: int) -> EncodedImage:
    """A PNG of few bytes that says it has `side` times `side` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return EncodedImage(
        data=b"\x89PNG\r\n\x1a\n"
        + header
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_three_formats_come_in(format: str) -> None:
    pixels = decode_picture(encoded(Image.new("RGB", (6, 4), RED), format), LIMITS, "image")
    assert pixels.shape == (4, 6, 3)
    assert pixels[0, 0, 0] > 250


@pytest.mark.parametrize("format", ["GIF", "BMP", "TIFF"])
def test_no_other_format_does(format: str) -> None:
    with pytest.raises(ImageUnreadable, match="PNG, JPEG or WebP") as refusal:
        decode_picture(encoded(Image.new("RGB", (6, 4)), format), LIMITS, "mask")
    assert refusal.value.param == "mask"


@pytest.mark.parametrize("side", [101, 4097, 100_000])
def test_a_picture_over_the_limit_is_refused_unread(side: int) -> None:
    with pytest.raises(ImageTooLarge):
        decode_picture(bomb(side), LIMITS, "image")


def test_a_file_that_breaks_off_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)
    whole = encoded(Image.fromarray(noise), "PNG").data
    with pytest.raises(ImageUnreadable):
        decode_picture(EncodedImage(data=whole[: len(whole) // 2]), LIMITS, "image")


def test_a_moving_picture_is_refused() -> None:
    frames = [Image.new("RGB", (4, 4), (shade, 0, 0)) for shade in (0, 99)]
    moving = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageUnreadable, match="animation"):
        decode_picture(moving, LIMITS, "image")


def test_exif_turns_the_picture_and_is_gone_from_what_is_made_of_it() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = ROTATED
    exif[0x010E] = "where I live"
    pixels = decode_picture(
        encoded(Image.new("RGB", (8, 4), RED), "JPEG", exif=exif), LIMITS, "image"
    )
    assert pixels.shape == (8, 4, 3)
    made = write_picture(pixels, ImageFormat.PNG, Provenance("m", "r", "t"))
    assert b"where I live" not in made.data
    assert len(Image.open(io.BytesIO(made.data)).getexif()) == 0


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "I;16", "CMYK", "RGBA"])
def test_every_mode_becomes_colour(mode: str) -> None:
    format = "JPEG" if mode == "CMYK" else "PNG"
    pixels = decode_picture(encoded(Image.new(mode, (4, 4)), format), LIMITS, "image")
    assert pixels.shape in ((4, 4, 3), (4, 4, 4))


def test_what_is_transparent_becomes_white() -> None:
    clear = np.zeros((4, 4, 4), np.uint8)
    assert fitted(clear, 4, 4).min() == 255


def test_the_middle_is_what_fits() -> None:
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = 200
    assert np.array_equal(fitted(wide, 4, 4), np.full((4, 4, 3), 200, np.uint8))


def test_light_marks_and_so_does_a_hole() -> None:
    light = np.zeros((4, 4, 3), np.uint8)
    light[0] = 255
    hole = np.full((4, 4, 4), 255, np.uint8)
    hole[0, :, 3] = 0
    assert np.array_equal(mask_of(light, 4, 4), mask_of(hole, 4, 4))
    assert mask_of(light, 4, 4).sum() == 4


def test_every_byte_survives_being_a_number() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    assert np.array_equal(to_pixels(to_floats(every)), every)


def test_the_same_request_gives_the_same_bytes() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    said = Provenance("m", "r", "t", seed=1)
    for format in ImageFormat:
        assert write_picture(pixels, format, said).data == write_picture(pixels, format, said).data
