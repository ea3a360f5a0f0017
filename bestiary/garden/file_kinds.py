"""Which files of a model are data. Pickles run code when they are opened and are never taken."""

from __future__ import annotations

from pathlib import PurePosixPath

from bestiary.garden.card import Source, WeightsFormat

# .txt: vocabularies and merges; .model, .spm: SentencePiece, a protobuf; .jinja: chat templates.
SAFE_SUFFIXES = (".safetensors", ".json", ".txt", ".model", ".spm", ".jinja")
PICKLE_SUFFIXES = (".bin", ".pth", ".pt", ".pkl", ".pickle", ".ckpt", ".tar")


def is_wanted(path: str, source: Source) -> bool:
    """Whether the file at `path` (relative to the source's url, with `/`) is to be fetched.

    The files that the card names; where it names none, all safe ones of the format.
    """
    if source.files:
        return path in source.files
    name = PurePosixPath(path)
    if any(part.startswith(".") for part in name.parts):
        return False
    if source.format is WeightsFormat.GGUF:
        return name.suffix == ".gguf"
    return name.suffix in SAFE_SUFFIXES
