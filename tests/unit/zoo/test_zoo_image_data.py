"""Emoji and digits: who is held out, what is said of them, how they are laid out."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from zoo.data.captions import captions_of, title_of
from zoo.data.digits import parted
from zoo.data.emoji import (
    TONES,
    EmojiSet,
    Picture,
    _on_white,
    halved,
    scaled,
    split_key,
    to_bytes,
)
from zoo.data.photographs import tiles


def picture(code: str, art: str = "twitter", tone: str | None = None) -> Picture:
    return Picture(
        code, art, tone, "waving hand", ("bye", "hello", "wave"), "People & Body", "hand"
    )


@pytest.mark.parametrize("code", ["1F44B", "1F3C3", "1F9D1-200D-1F680", "2764-FE0F", "1F385"])
def test_tones_genders_and_arts_of_one_emoji_fall_on_the_same_side(code: str) -> None:
    first, *rest = code.split("-")
    toned = ["-".join((first, tone, *rest)) for tone in TONES]
    gendered = [f"{code}-200D-2640-FE0F", f"{code}-200D-2642-FE0F", f"{code}-200D-27A1-FE0F"]
    keys = {split_key(one) for one in (code, *toned, *gendered)}
    assert len(keys) == 1
    sides = {picture(one, art).held_out for one in (code, *toned) for art in ("twitter", "google")}
    assert len(sides) == 1


def test_man_and_woman_of_one_profession_have_one_key_and_people_have_theirs() -> None:
    assert split_key("1F468-200D-1F680") == split_key("1F469-200D-1F680") == "1F680"
    assert split_key("1F468") == "1F468"
    assert split_key("1F468-1F3FD") == "1F468"


def test_about_the_stated_share_is_held_out() -> None:
    codes = [f"{code:X}" for code in range(0x1F300, 0x1F300 + 2000)]
    share = sum(picture(code).held_out for code in codes) / len(codes)
    assert share == pytest.approx(0.08, abs=0.02)


def test_parts_of_a_set_are_disjoint_and_whole() -> None:
    pictures = tuple(picture(f"{code:X}") for code in range(0x1F300, 0x1F300 + 300))
    pixels = torch.arange(300)[:, None, None, None].expand(-1, 3, 2, 2).to(torch.uint8)
    found = EmojiSet(pictures, pixels)
    training, held_out = found.part(held_out=False), found.part(held_out=True)
    assert len(training) + len(held_out) == 300
    assert held_out.pictures
    assert not {one.code for one in training.pictures} & {one.code for one in held_out.pictures}


def test_captions_are_the_same_every_time_and_their_chances_sum_to_one() -> None:
    for one in (picture("1F44B"), picture("1F44B-1F3FD", tone="medium skin tone")):
        found = captions_of(one)
        assert found == captions_of(one)
        assert sum(chance for _, chance in found) == pytest.approx(1.0)
    assert title_of(picture("1F44B-1F3FD", tone="medium skin tone")) == (
        "waving hand, medium skin tone"
    )
    texts = [text for text, _ in captions_of(picture("1F44B", "google"))]
    assert "waving hand, noto style" in texts
    assert all("waving" in text or "wave" in text or "bye" in text for text in texts)


def test_what_is_transparent_becomes_white_and_small_drawings_stand_in_the_middle() -> None:
    drawn = Image.new("RGBA", (32, 32), (255, 0, 0, 255))
    drawn.putpixel((0, 0), (0, 0, 255, 0))
    file = io.BytesIO()
    drawn.save(file, "PNG")
    pixels = _on_white(file.getvalue())
    assert pixels.shape == (64, 64, 3)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[16, 16].tolist() == [255, 255, 255]
    assert pixels[32, 32].tolist() == [255, 0, 0]


def test_bytes_come_back_from_floats() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(to_bytes(scaled(pixels)), pixels)
    assert halved(torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]])).item() == 0.5


def test_digits_are_parted_by_their_pixels() -> None:
    lines = [
        ",".join(str((at * step) % 17) for step in range(64)) + f",{at % 10}" for at in range(200)
    ]
    training, held_out = parted("\n".join(lines))
    assert len(training) + len(held_out) == 200
    assert 10 < len(held_out) < 60
    again, _ = parted("\n".join(lines[:100] * 2))
    assert len(again) == 2 * len(parted("\n".join(lines[:100]))[0])  # twins stay together
    assert training.pictures.shape[1:] == (1, 8, 8)
    assert float(training.pictures.min()) >= -1.0


def test_tiles_cover_a_picture_row_by_row() -> None:
    rows = torch.arange(4).repeat_interleave(2).reshape(4, 2)
    picture = torch.stack((rows, rows, rows))[None].to(torch.uint8)
    assert tiles(picture, 2)[:, 0, :, 0].tolist() == [[0, 1], [2, 3]]
