"""A base's encoder-decoder: opened, what of it is learned, and how it is saved."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn
from transformers import AutoModelForSeq2SeqLM

from bestiary.garden import InstalledModel
from bestiary.schemas.tuning import Hyperparameters
from services.tuning.trainers.low_rank import adapted
from services.tuning.trainers.model_folder import TOKENIZER_FILES, take_over
from training.architectures.recurrent_seq2seq import ARCHITECTURE as RECURRENT
from training.architectures.recurrent_seq2seq import RecurrentSeq2Seq
from training.seq2seq_networks import RecurrentNetwork, Seq2SeqNetwork, TransformerNetwork

TRANSLATORS = (RECURRENT, "MarianMTModel")  # trained with smoothed labels, and small
OUTPUT = "lm_head"
CONFIG = "config.json"
# Where the garden looks for how much a model reads.
LENGTHS = ("max_position_embeddings", "n_positions", "n_ctx", "max_position")


def network_of(base: InstalledModel, chosen: Hyperparameters, device: str) -> Seq2SeqNetwork:
    """In float32. Translators are learned whole: they are small, and peft adapts no GRU."""
    if base.card.architecture == RECURRENT:
        return RecurrentNetwork(RecurrentSeq2Seq.from_pretrained(base.path).to(device))
    model = AutoModelForSeq2SeqLM.from_pretrained(base.path, dtype=torch.float32)
    model.set_attn_implementation("eager")  # in training on a CPU a third faster than sdpa
    if not chosen.full and base.card.architecture not in TRANSLATORS:
        model = adapted(model, chosen.lora, left_out=(OUTPUT,))
    return TransformerNetwork(model.to(device))


def end_of(base: InstalledModel) -> int:
    """The token that ends texts."""
    config = json.loads((base.path / CONFIG).read_text("utf-8"))
    end = config["eos_token_id"]
    return int(end[0] if isinstance(end, list) else end)


def save_network(model: nn.Module, base: InstalledModel, folder: Path) -> None:
    """New weights; all else as the base has it, what its tasks are called included."""
    model.save_pretrained(folder)
    config = json.loads((base.path / CONFIG).read_text("utf-8"))
    if base.card.architecture != RECURRENT:
        config["dtype"] = "float32"
    if not any(key in config for key in LENGTHS):
        config["n_positions"] = base.card.context_length  # a converted T5 leaves it to its card
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    take_over(base.path, folder, (*TOKENIZER_FILES, "generation_config.json"))
