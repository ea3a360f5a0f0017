"""Replies of the native API of images, each as docs/api/images.md shows it."""

from __future__ import annotations

import base64
import io
import json
import struct

from PIL import Image
from scripted_server import COMMENT, DONE, EXTENSION, Reply

SIDE = 4
WORK = {"steps": 25, "evaluations": 50, "seconds": 0.4, "cached_steps": 2}
USAGE = {"images": 1, **WORK}


def png(red: int = 0) -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), (red, 0, 0)).save(held, "png")
    return held.getvalue()


def picture_row(red: int = 0) -> dict[str, object]:
    data = base64.b64encode(png(red)).decode()
    return {"b64_json": data, "format": "png", "width": SIDE, "height": SIDE}


def generated_row(red: int = 0, **fields: object) -> dict[str, object]:
    return {**picture_row(red), "seed": red, "work": WORK, **fields}


ROWS: dict[str, dict[str, object]] = {
    "encode": {
        "shape": [1, 2],
        "latent": base64.b64encode(struct.pack("<2f", 0.5, -1.0)).decode(),
    },
    "decode": picture_row(7),
    "reconstruct": {**picture_row(7), "mse": 0.0, "psnr": None, "ssim": 1},
    "interpolate": picture_row(7),
    "discriminate": {"score": 1.5, "probability": 0.8, "is_real": True, "calibrated": True},
    "likelihood": {
        "log_likelihood": -99.5,
        "bits_per_dimension": 1.25,
        "dimensions": 784,
        "per_row": [1, 1.5],
    },
    "noise": {**picture_row(7), "timestep": 5, "signal": 0.8, "noise": 0.6, "snr": 1.7},
}
FRAMES = (
    {**picture_row(1), "step": 0, "timestep": 999, "snr": 0.01, "denoised": None},
    {**picture_row(2), "step": 25, "timestep": 0, "snr": None, "denoised": picture_row(3)},
)


def image_reply(*rows: dict[str, object], **fields: object) -> Reply:
    head = {"id": "req-1", "object": "list", "created": 1, "model": "a-painter"}
    data = [{"index": index, **row} for index, row in enumerate(rows)]
    body = {**head, "data": data, "usage": USAGE, "bestiary": EXTENSION, **fields}
    return Reply(body=body)


def news(step: int, index: int = 0, **fields: object) -> str:
    return _frame(index=index, step=step, steps=4, **fields)


def image_stream(*frames: str, pause_s: float = 0.0) -> Reply:
    last = _frame(usage=USAGE, bestiary=EXTENSION)
    return Reply(frames=(*frames, last, COMMENT, DONE), pause_s=pause_s)


def _frame(**fields: object) -> str:
    head = {"id": "req-1", "object": "text-to-image.chunk", "model": "a-painter"}
    return f"data: {json.dumps({**head, **fields})}\n\n"
