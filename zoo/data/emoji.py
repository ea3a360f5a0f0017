"""Emoji as pictures with words: two sets of art, names and keywords, and who is held out.

The art comes from `emoji-datasource-twitter` (Twemoji) and `emoji-datasource-google` (Noto), the
words from CLDR's English annotations where it has the emoji, else from the data source's own
names. Everything transparent becomes white. Knows no network and no tokenizer.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.data.held_out import drawn_for
from zoo.data.packages import (
    CLDR_ANNOTATIONS,
    EMOJI_GOOGLE,
    EMOJI_TWITTER,
    Package,
    archive_of,
    cache_folder,
    members,
)

PACKAGES = (EMOJI_TWITTER, EMOJI_GOOGLE, CLDR_ANNOTATIONS)
SIDE = 64  # pixels
SHARE, SPLIT_SEED = 0.08, 23
ARTS: dict[str, Package] = {"twitter": EMOJI_TWITTER, "google": EMOJI_GOOGLE}
TONES = {
    "1F3FB": "light skin tone",
    "1F3FC": "medium-light skin tone",
    "1F3FD": "medium skin tone",
    "1F3FE": "medium-dark skin tone",
    "1F3FF": "dark skin tone",
}
# Joiners, presentation, gender, direction, and the people who carry an emoji: what is left over
# decides the split, so that a man, a woman and a person who do the same fall on the same side.
_ADDED = {"200D", "FE0F", "2640", "2642", "27A1", "1F468", "1F469", "1F9D1", *TONES}


@dataclass(frozen=True)
class Picture:
    """One drawing of one emoji."""

    code: str  # code points, for instance 1F44B-1F3FD
    art: str  # twitter or google
    tone: str | None  # words
    name: str
    keywords: tuple[str, ...]
    category: str
    subcategory: str

    @property
    def base(self) -> str:
        """The code without its skin tone, which takes the place of the selector FE0F."""
        parts = self.code.split("-")
        return "-".join(part for part in parts if part not in TONES and part != "FE0F")

    @property
    def held_out(self) -> bool:
        return drawn_for(split_key(self.code), SPLIT_SEED) < SHARE


@dataclass(frozen=True)
class EmojiSet:
    """Pictures and their pixels, uint8 [N, 3, 64, 64], in one order."""

    pictures: tuple[Picture, ...]
    pixels: Tensor

    def where(self, places: Iterable[int]) -> EmojiSet:
        kept = list(places)
        return EmojiSet(tuple(self.pictures[at] for at in kept), self.pixels[kept])

    def part(self, *, held_out: bool) -> EmojiSet:
        found = enumerate(self.pictures)
        return self.where(at for at, one in found if one.held_out == held_out)

    def plain(self) -> EmojiSet:
        """Without the skin tone variants."""
        return self.where(at for at, one in enumerate(self.pictures) if one.tone is None)

    def __len__(self) -> int:
        return len(self.pictures)


def split_key(code: str) -> str:
    """What of a code decides on which side it falls."""
    parts = code.split("-")
    kept = [part for part in parts if part not in _ADDED]
    return "-".join(kept or [part for part in parts if part not in TONES])


@cache
def emoji() -> EmojiSet:
    """All pictures of both sets, from the cache or the registry."""
    found = [_art_set(art) for art in ARTS]
    pictures = tuple(one for pictures, _ in found for one in pictures)
    return EmojiSet(pictures, torch.cat([pixels for _, pixels in found]))


def scaled(pixels: Tensor) -> Tensor:
    """uint8 -> float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def to_bytes(values: Tensor) -> Tensor:
    """The way back; what lies outside [-1, 1] is clamped."""
    return ((values.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def halved(pixels: Tensor) -> Tensor:
    """Float [N, C, H, W] at half the side, the mean of every 2x2."""
    return torch.nn.functional.avg_pool2d(pixels, 2)


def small(pixels: Tensor) -> Tensor:
    """uint8 [N, 3, 64, 64] -> [N, 3, 32, 32] in [-1, 1]."""
    return halved(scaled(pixels))


def even_weights(found: EmojiSet) -> Tensor:
    """So that an emoji is drawn as often with six skin tones as with none: float [N]."""
    variants = Counter((one.art, one.base) for one in found.pictures)
    return torch.tensor([1.0 / variants[one.art, one.base] for one in found.pictures])


def said_of(pictures: Iterable[Picture]) -> str:
    """A line for a page: how many are in it, and of how many emoji."""
    every = list(pictures)
    return f"{len(every)} pictures of {len({one.base for one in every})} emoji"


def _art_set(art: str) -> tuple[list[Picture], Tensor]:
    package = ARTS[art]
    records = json.loads(_member(package, "package/emoji.json"))
    annotations = _annotations()
    files: dict[str, Picture] = {}
    for record in records:
        name, keywords = _words(record, annotations)
        for code, image, tone in _drawings(record, art):
            files[image] = Picture(
                code, art, tone, name, keywords, record["category"], record["subcategory"]
            )
    pixels = _pixels(package, art, sorted(files))
    return [files[name] for name in sorted(files)], pixels


def _drawings(record: Mapping[str, object], art: str) -> list[tuple[str, str, str | None]]:
    """Code, file and tone of a record's drawings; not those of two people of two tones."""
    variants = record.get("skin_variations", {})
    found = [(None, record), *variants.items()]  # type: ignore[attr-defined]  # JSON
    return [
        (one["unified"], one["image"], None if tone is None else TONES[tone])
        for tone, one in found
        if one[f"has_img_{art}"] and (tone is None or tone in TONES)
    ]


def _words(
    record: Mapping[str, object], annotations: Mapping[str, Mapping[str, list[str]]]
) -> tuple[str, tuple[str, ...]]:
    code = str(record["unified"])
    characters = "".join(chr(int(part, 16)) for part in code.split("-") if part != "FE0F")
    own = annotations.get(characters)
    if own is not None and own.get("tts"):
        return own["tts"][0].lower(), tuple(word.lower() for word in own.get("default", ()))
    name = str(record["name"]).lower()
    return name, tuple(name.replace(":", " ").replace(",", " ").split())


def _annotations() -> dict[str, dict[str, list[str]]]:
    content = _member(CLDR_ANNOTATIONS, "package/annotations/en/annotations.json")
    found: dict[str, dict[str, list[str]]] = json.loads(content)["annotations"]["annotations"]
    return found


def _pixels(package: Package, art: str, names: list[str]) -> Tensor:
    """Decoded once, then read from the cache: [N, 3, 64, 64] in the order of `names`."""
    kept = cache_folder() / f"emoji-{package.sha256[:16]}.npy"
    if not kept.exists():
        folder = f"package/img/{art}/64/"
        wanted = {folder + name for name in names}
        read = {
            name: _on_white(png) for name, png in members(archive_of(package), wanted.__contains__)
        }
        partial = kept.with_suffix(".partial.npy")
        np.save(partial, np.stack([read[folder + name] for name in names]))
        partial.replace(kept)
    return torch.from_numpy(np.load(kept)).permute(0, 3, 1, 2).contiguous()


def _on_white(png: bytes) -> np.ndarray:
    """uint8 [64, 64, 3]; smaller drawings stand in the middle."""
    with Image.open(io.BytesIO(png)) as opened:
        drawn = opened.convert("RGBA")
    canvas = Image.new("RGBA", (SIDE, SIDE), "white")
    canvas.alpha_composite(drawn, ((SIDE - drawn.width) // 2, (SIDE - drawn.height) // 2))
    return np.asarray(canvas.convert("RGB"))


def _member(package: Package, name: str) -> bytes:
    return next(content for _, content in members(archive_of(package), name.__eq__))
