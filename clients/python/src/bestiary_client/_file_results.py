"""What callers get of files: what is stored, and what is in it. Plain frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class LengthBin:
    """So many examples are longer than the bin before, and up to this."""

    up_to: int  # tokens; characters, where nobody has counted tokens yet
    examples: int


@dataclass(frozen=True)
class DataReport:
    """What is in a training file."""

    format: str  # "chat", "completion", "preference", "labelled_text", ...
    examples: int
    characters: int
    tokens: int | None = None  # None: not counted with a model's tokenizer
    duplicates: int = 0  # examples that are exactly as an earlier one
    overlap: int | None = None  # of a validation file: examples that are in the training file too
    lengths: tuple[LengthBin, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)  # label -> examples
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredFile:
    """A file that the platform keeps."""

    id: str  # "file-..."
    filename: str
    purpose: str
    bytes: int
    status: str  # "uploaded", "processed" or "error"
    created_at: datetime  # UTC
    report: DataReport | None = None  # None: not a training file
