"""A text-to-image model before and after it was tuned: the same prompts and seeds, as one picture.

    python examples/tuning/style_before_and_after.py ft:emoji-text-to-image:sticker:1a2b sheet.png

Rows: the base asked for the style, the tuned model asked for it, the tuned model not asked.
"""

import sys

from bestiary_client import Bestiary, GeneratedImage
from PIL import Image, ImageDraw

BASE, STYLE, SEED, SIDE, LEFT, TOP = "emoji-text-to-image", ", sticker style", 7, 128, 110, 24
PROMPTS = (
    "red heart",
    "green apple",
    "cat face",
    "sun",
    "blue car",
    "pizza",
    "rocket",
    "smiling face",
)


def drawn(client: Bestiary, prompt: str, model: str) -> GeneratedImage:
    (picture,) = client.images.text_to_image(prompt, model=model, seed=SEED, guidance_scale=3)
    return picture


tuned, path = sys.argv[1], sys.argv[2]
rows = (("base,\nwith the words", BASE, STYLE), ("tuned,\nwith the words", tuned, STYLE))
rows += (("tuned,\nwithout", tuned, ""),)
sheet = Image.new("RGB", (LEFT + SIDE * len(PROMPTS), TOP + SIDE * len(rows)), "white")
pen = ImageDraw.Draw(sheet)
with Bestiary() as client:
    for y, (title, model, words) in enumerate(rows):
        pen.text((6, TOP + y * SIDE + SIDE // 2), title, fill="black")
        for x, prompt in enumerate(PROMPTS):
            pen.text((LEFT + x * SIDE + 4, 6), prompt, fill="black")
            picture = drawn(client, prompt + words, model).image.resize((SIDE, SIDE), 0)
            sheet.paste(picture.convert("RGB"), (LEFT + x * SIDE, TOP + y * SIDE))
sheet.save(path)
print(path)
