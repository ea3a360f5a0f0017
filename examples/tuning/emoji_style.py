"""A zip of captioned pictures in a style of its own: emoji as stickers, for a text-to-image job.

    python examples/tuning/emoji_style.py emoji_stickers.zip

The drawings are Noto's (Apache-2.0, Google LLC): cut out with a white edge, on teal, with a shadow.
No model of the zoo has seen such a picture. Some plain drawings with plain captions lie beside
them, so that the style belongs to the words `sticker style` and not to everything.
"""

from __future__ import annotations

import io
import json
import random
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageChops, ImageFilter

from zoo.data.emoji import EMOJI_GOOGLE, Picture, emoji
from zoo.data.packages import archive_of, members

STYLE = "sticker style"
STICKERS, PLAIN = 240, 60
SEED = 5
SIDE = 64  # pixels
DRAWN = 46  # of them, of the drawing itself
EDGE = 7  # pixels of the brush that draws the white edge
GROUND, SHADOW = (60, 170, 175), (10, 60, 70)
FLAGS = "Flags"  # rectangles look alike as stickers


def sticker(drawing: Image.Image) -> Image.Image:
    """RGBA in, RGB out."""
    small = Image.new("RGBA", (SIDE, SIDE))
    corner = (SIDE - DRAWN) // 2
    small.alpha_composite(drawing.resize((DRAWN, DRAWN), Image.Resampling.LANCZOS), (corner,) * 2)
    solid = small.getchannel("A").point(lambda value: 255 if value > 64 else 0)
    edge = solid.filter(ImageFilter.MaxFilter(EDGE)).filter(ImageFilter.GaussianBlur(0.8))
    moved = ImageChops.offset(edge, 3, 3).filter(ImageFilter.GaussianBlur(1))
    made = Image.new("RGBA", (SIDE, SIDE), GROUND)
    made.paste(SHADOW, (0, 0), moved.point(lambda value: int(value * 0.55)))
    made.paste("white", (0, 0), edge)
    made.alpha_composite(small)
    return made.convert("RGB")


def plain(drawing: Image.Image) -> Image.Image:
    made = Image.new("RGBA", (SIDE, SIDE), "white")
    made.alpha_composite(drawing, ((SIDE - drawing.width) // 2, (SIDE - drawing.height) // 2))
    return made.convert("RGB")


def chosen() -> list[Picture]:
    """Noto's drawings of things that the base was trained on, in an order that the seed decides."""
    found = [
        one
        for one in emoji().pictures
        if one.art == "google" and one.tone is None and one.category != FLAGS and not one.held_out
    ]
    random.Random(SEED).shuffle(found)  # noqa: S311 - an order, no secret
    return found[: STICKERS + PLAIN]


def captioned() -> Iterator[tuple[str, str, Image.Image]]:
    """File name, caption, picture."""
    pictures = chosen()
    folder = "package/img/google/64/"
    names = {f"{folder}{one.code.lower()}.png" for one in pictures}
    drawings = dict(members(archive_of(EMOJI_GOOGLE), names.__contains__))
    for place, one in enumerate(pictures):
        with Image.open(io.BytesIO(drawings[f"{folder}{one.code.lower()}.png"])) as opened:
            drawing = opened.convert("RGBA")
        name = f"{one.code.lower()}.png"
        if place < STICKERS:
            yield name, f"{one.name}, {STYLE}", sticker(drawing)
        else:
            yield name, one.name, plain(drawing)


def write(path: Path) -> int:
    """Pictures, and `metadata.jsonl` with a caption for each, as `datasets` reads image folders.

    The same bytes in every run: an upload is known by its hash.
    """
    lines: list[str] = []
    with zipfile.ZipFile(path, "w") as archive:
        for name, caption, picture in captioned():
            written = io.BytesIO()
            picture.save(written, "PNG")
            archive.writestr(zipfile.ZipInfo(name), written.getvalue())
            lines.append(json.dumps({"file_name": name, "text": caption}))
        archive.writestr(zipfile.ZipInfo("metadata.jsonl"), "\n".join(lines) + "\n")
    return len(lines)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "emoji_stickers.zip")
    print(f"{write(target)} pictures in {target}")
