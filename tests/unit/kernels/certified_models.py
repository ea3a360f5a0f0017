"""A small model that can be certified: it has a tokenizer and a card."""

from __future__ import annotations

import shutil
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from bestiary.garden import InstalledModel
from bestiary.garden.card import Family, ModelCard, Source
from tests.unit.kernels.conftest import SmallModel

CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))  # one token each: of 160


def installed_model(small: SmallModel, folder: Path, **card: object) -> InstalledModel:
    """A copy of the checkpoint with a tokenizer of characters."""
    shutil.copytree(small.folder, folder)
    vocabulary = {character: number for number, character in enumerate(CHARACTERS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=" "))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.save(str(folder / "tokenizer.json"))
    fields: dict[str, object] = {
        "id": "small",
        "family": Family.TEXT,
        "architecture": "LlamaForCausalLM",
        "title": "Small",
        "parameters": 100_000,
        "context_length": 256,
        "license": "MIT",
        "provenance": "a test",
        "sources": (Source(url="zoo://small"),),
    }
    return InstalledModel(ModelCard.model_validate(fields | card), folder, revision="r1")
