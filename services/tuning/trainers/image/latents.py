"""Pictures -> latents, worked out once for a job, some at a time, each part a file.

A trainer that was killed goes on behind the last whole part. A part's name is a hash of what it
was made of, so that no other picture's latents are ever taken for it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from services.tuning.data.examples import CaptionedImage
from services.tuning.trainers.image.base_pipeline import BasePipeline
from services.tuning.trainers.image.pictures import pixels_of

PART = 32  # pictures


class LatentCache:
    """In `folder`. `revision` of the base's weights."""

    def __init__(self, base: BasePipeline, revision: str, folder: Path) -> None:
        self._base = base
        self._revision = revision
        self._folder = folder

    def of(self, pictures: Sequence[CaptionedImage]) -> Tensor:
        """[N, C, h, w], in the order of the pictures. Raises ImageUnreadable."""
        self._folder.mkdir(parents=True, exist_ok=True)
        starts = range(0, len(pictures), PART)
        return torch.cat([self._part(pictures[start : start + PART]) for start in starts])

    def _part(self, pictures: Sequence[CaptionedImage]) -> Tensor:
        kept = self._folder / f"{self._name(pictures)}.safetensors"
        if not kept.exists():
            size = self._base.width, self._base.height
            pixels = torch.stack([pixels_of(one, *size) for one in pictures])
            partial = kept.with_suffix(f".{os.getpid()}")
            save_file({"latents": self._base.latents_of(pixels).contiguous()}, partial)
            partial.replace(kept)
        return load_file(kept)["latents"]

    def _name(self, pictures: Sequence[CaptionedImage]) -> str:
        digest = hashlib.sha256(self._revision.encode())
        digest.update(f":{self._base.width}x{self._base.height}".encode())
        for one in pictures:
            digest.update(hashlib.sha256(one.data).digest())
        return digest.hexdigest()[:32]
