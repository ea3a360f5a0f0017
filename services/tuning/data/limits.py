"""How much one training file may hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DataLimits:
    max_bytes: int = 512 * 1024**2  # of the file as it is uploaded
    max_examples: int = 1_000_000
    max_characters: int = 200_000  # of one example, all its texts together
    max_pixels: int = 4096 * 4096  # of one picture
    max_unpacked: int = 2 * 1024**3  # bytes; of a zip file's members or a Parquet file's columns
