"""Which files of a model are data. Pickles run code when they are opened and are never taken."""

from __future__ import annotations

from pathlib import PurePosixPath

from bestiary.garden.card import Source, WeightsFormat

# .txt: vocabularies and merges; .model, .spm: SentencePiece, a protobuf; .jinja: chat templates.
SAFE_SUFFIXES = (".safetensors", ".json", ".txt", ".model", ".spm", ".jinja")
# What a pipeline's repository has beside what is served: other precisions, whole checkpoints at
# the top, a safety checker that nothing here asks.
PIPELINE_FOLDERS = (
    "scheduler",
    "scorer",
    "text_encoder",
    "tokenizer",
    "unet",
    "vae",
)
PIPELINE_VARIANTS = (".fp16.", ".bf16.", ".non_ema.")
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
    if source.format is WeightsFormat.DIFFUSERS:
        return _is_of_pipeline(name)
    return name.suffix in SAFE_SUFFIXES


def _is_of_pipeline(name: PurePosixPath) -> bool:
    if any(variant in name.name for variant in PIPELINE_VARIANTS):
        return False
    if len(name.parts) == 1:
        return name.suffix == ".json"
    return name.parts[0] in PIPELINE_FOLDERS and name.suffix in SAFE_SUFFIXES
