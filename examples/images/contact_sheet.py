"""Pictures side by side in one file, each enlarged so that its pixels can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bestiary_client import Picture
from PIL import Image

GAP = 4  # pixels
CELL = 128  # pixels, of one picture on the sheet


def save_sheet(rows: Sequence[Sequence[Picture]], path: str | Path) -> Path:
    """One row of the sheet for each of `rows`."""
    columns = max(len(row) for row in rows)
    step = CELL + GAP
    sheet = Image.new("RGB", (columns * step - GAP, len(rows) * step - GAP), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            cell = picture.image.convert("RGB").resize((CELL, CELL), Image.Resampling.NEAREST)
            sheet.paste(cell, (x * step, y * step))
    sheet.save(path)
    return Path(path)
