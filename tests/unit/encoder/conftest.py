"""The real MiniLM, installed once; and a tokenizer small enough to read."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from bestiary.garden import Garden, InstalledModel

VOCABULARY = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "b": 4, "c": 5}


@pytest.fixture
def words() -> Tokenizer:
    """One token a word, between [CLS] 1 and [SEP] 2; pads and cuts unless told not to."""
    tokenizer = Tokenizer(WordLevel(VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.enable_padding(length=12)
    tokenizer.enable_truncation(3)
    return tokenizer


@pytest.fixture(scope="session")
def minilm(installed_home: Path) -> InstalledModel:
    return Garden(installed_home).installed("all-minilm-l6-v2")
