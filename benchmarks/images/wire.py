"""What goes over the wire of all contenders: one picture's wishes in, a PNG out. Plain data."""

from __future__ import annotations

import base64
import io
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

TASKS = (
    "unconditional",
    "text-to-image",
    "image-to-image",
    "inpainting",
    "super-resolution",
)
PROMPTS = ("a red apple", "a smiling cat", "a blue car", "a yellow star", "a green tree")
SMALL_SIDE = 16  # of what is enlarged
SIDE = 64


@dataclass(frozen=True, slots=True)
class Wish:
    """`image` and `mask` are base64 of PNG."""

    task: str
    seed: int
    steps: int
    guidance: float = 1.0
    prompt: str = ""
    image: str = ""
    mask: str = ""

    @property
    def json(self) -> dict[str, Any]:
        return asdict(self)


def wish(task: str, seed: int, steps: int, guidance: float = 1.0) -> Wish:
    prompt = PROMPTS[seed % len(PROMPTS)] if task not in ("unconditional", TASKS[-1]) else ""
    image = mask = ""
    if task == "super-resolution":
        image = png(picture(seed, SMALL_SIDE))
    elif task in ("image-to-image", "inpainting"):
        image = png(picture(seed, SIDE))
    if task == "inpainting":
        holed = np.zeros((SIDE, SIDE, 3), np.uint8)
        holed[:, SIDE // 2 :] = 255
        mask = png(holed)
    return Wish(task, seed, steps, guidance if prompt else 1.0, prompt, image, mask)


def picture(seed: int, side: int) -> np.ndarray:  # type: ignore[type-arg]
    """Soft coloured spots."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    image = Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)
    return np.array(image)


def png(pixels: np.ndarray) -> str:  # type: ignore[type-arg]
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode()


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")
