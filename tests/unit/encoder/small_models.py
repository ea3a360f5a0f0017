"""Small random BERTs with a tokenizer, installed and opened the way that a replica opens one."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import yaml
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertPreTrainedModel

from bestiary.garden import Garden
from bestiary.profile.applications import ReplicaArgs
from bestiary.profile.models import EncoderEngine, Queue, Resources, Scaling
from bestiary.progress import Silent
from deployments.encoder.opening import open_service, prepare_encoder
from deployments.encoder.service import EncoderService

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    "the",
    "a",
    "old",
    "light",
    "house",
    "keeper",
    "saw",
    "sea",
    "ship",
    "storm",
    "and",
    "went",
    "home",
    "with",
    ",",
    ".",
]
PIECES = ["##s", "##ed", "##ing"]
VOCABULARY = [*SPECIALS, *WORDS, *PIECES]
LONGEST = 160
SHAPE = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "max_position_embeddings": LONGEST,
    "initializer_range": 0.4,
}


def word_pieces() -> Tokenizer:
    numbers = {token: number for number, token in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, numbers[token]) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens(SPECIALS)
    return tokenizer


def saved_model(cls: type[BertPreTrainedModel], folder: Path, **config: object) -> Path:
    torch.manual_seed(0)
    cls(BertConfig(**SHAPE | config)).eval().save_pretrained(folder)
    word_pieces().save(str(folder / "tokenizer.json"))
    names = {"mask_token": "[MASK]", "tokenizer_class": "BertTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return folder


def opened_service(folder: Path, home: Path, **card: object) -> EncoderService:
    """Through a card, the garden and the build cache of `home`."""
    fields = {
        "id": "small",
        "family": "encoder",
        "architecture": json.loads((folder / "config.json").read_text())["architectures"][0],
        "title": "Small",
        "parameters": 100_000,
        "context_length": LONGEST,
        "dimensions": SHAPE["hidden_size"],
        "license": "MIT",
        "provenance": "a test",
        "sources": [{"url": f"file://{folder}"}],
    }
    (home / "cards").mkdir(parents=True, exist_ok=True)
    (home / "cards" / "small.yaml").write_text(yaml.safe_dump(fields | card))
    args = ReplicaArgs(
        deployment="small",
        card=Garden(home).card("small"),
        resources=Resources(threads=1),
        scaling=Scaling(),
        queue=Queue(),
        encoder=EncoderEngine(max_wait_ms=0),
    )
    prepare_encoder(args, home, Silent())
    return open_service(args, home)
