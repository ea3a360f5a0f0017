"""Image models on the disk as diffusers lays them out, in fp16, with the pictures of their pages.

A whole pipeline is a folder with `model_index.json` and a folder per component, so that hub
checkpoints are read by the same code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, ModelMixin
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from zoo.data.emoji import to_bytes

LICENSE = (
    "Apache-2.0 for the weights. The art that they were trained on is Twemoji, CC-BY-4.0, by"
    " Twitter, Inc. and other contributors, and Noto Emoji, Apache-2.0, by Google LLC; it was laid"
    " over white and made smaller. Show that attribution with what you publish."
)
CARD_DATA = (
    "Twemoji (CC-BY-4.0, Twitter, Inc. and other contributors) and Noto Emoji (Apache-2.0, Google"
    " LLC) from the npm packages emoji-datasource-twitter and -google 16.0.0"
)
GAP = 2  # pixels between pictures
CAPTION_SIDE = 11  # pixels of a line


def save_component(model: ModelMixin, folder: Path) -> None:
    """`config.json` and `diffusion_pytorch_model.safetensors` in fp16; the model stays float32."""
    folder.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(folder, safe_serialization=True)
    model.float()
    # Where it was loaded from on this machine is nobody else's business.
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    config.pop("_name_or_path", None)
    write_json(config, path)


def save_scheduler(config: Mapping[str, object], folder: Path) -> None:
    """`scheduler_config.json`, which every scheduler of diffusers reads."""
    DDIMScheduler.from_config(config).save_pretrained(folder)


def write_index(folder: Path, pipeline: str, components: Mapping[str, str]) -> None:
    """`model_index.json`: the pipeline's class, and a diffusers class per component."""
    index = {"_class_name": pipeline} | {
        name: ["diffusers", kind] for name, kind in components.items()
    }
    write_json(index, folder / "model_index.json")


def write_json(content: Mapping[str, object], path: Path) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def parameters_of(*networks: nn.Module) -> int:
    return sum(one.numel() for network in networks for one in network.parameters())


def write_grid(
    pictures: Tensor,
    columns: int,
    path: Path,
    *,
    enlarged: int = 1,
    captions: Sequence[str] = (),
) -> None:
    """Float [N, 1 or 3, H, W] in [-1, 1], row by row, as PNG; each caption under its picture, cut
    to its width."""
    shown = pictures.expand(-1, 3, -1, -1) if pictures.shape[1] == 1 else pictures
    pixels = to_bytes(shown.detach()).permute(0, 2, 3, 1).numpy()
    pixels = pixels.repeat(enlarged, axis=1).repeat(enlarged, axis=2)
    height, width = pixels.shape[1:3]
    line = CAPTION_SIDE * 2 if captions else 0
    rows = -(-len(pixels) // columns)
    size = (columns * (width + GAP) + GAP, rows * (height + line + GAP) + GAP)
    sheet = Image.new("RGB", size, (228, 228, 228))
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=CAPTION_SIDE - 1)
    for place, picture in enumerate(pixels):
        left = GAP + place % columns * (width + GAP)
        top = GAP + place // columns * (height + line + GAP)
        sheet.paste(Image.fromarray(np.ascontiguousarray(picture)), (left, top))
        if captions:
            text = wrapped(captions[place], width, pen, font)
            pen.multiline_text((left, top + height), text, fill="black", font=font, spacing=0)
    sheet.save(path, optimize=True)


def wrapped(
    text: str,
    width: int,
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> str:
    """At most two lines of at most `width` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if pen.textlength(longer, font=font) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines[:2])


def side_by_side(rows: Sequence[Tensor]) -> Tensor:
    """Row after row of pictures, as `write_grid` takes them."""
    return torch.cat(list(rows))
