"""The files of a model's folder beside its weights, taken over from the base."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)
# How much of a text a sentence encoder was trained on: replicas cut there.
LENGTH_FILE = "sentence_bert_config.json"
# How sentence-transformers pools token vectors.
POOLING_FILE = "1_Pooling/config.json"
SENTENCE_FILES = ("modules.json", "config_sentence_transformers.json", POOLING_FILE)


def take_over(base: Path, folder: Path, names: Iterable[str]) -> None:
    """Those that the base has."""
    for name in names:
        if (base / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base / name, folder / name)
