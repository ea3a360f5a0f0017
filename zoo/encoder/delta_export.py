"""A trained head and its low-rank changes -> `config.json` and `delta.safetensors` in fp16."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel

from bestiary.garden.checksum import sha256_of
from bestiary.garden.delta import BASE_PREFIX, BASE_SHA256, DELTA, WEIGHTS
from zoo.encoder.low_rank import learned_tensors
from zoo.encoder.minilm import base_folder

LICENSE = (
    "Apache-2.0, as the base model's. The texts that it was trained on keep the licences above."
)


def export_delta(model: PreTrainedModel, folder: Path) -> None:
    tensors = {
        name: tensor.to(torch.float16).contiguous()
        for name, tensor in learned_tensors(model).items()
    }
    over = sha256_of(base_folder() / WEIGHTS)
    metadata = {"format": "pt", BASE_SHA256: over, BASE_PREFIX: "bert."}
    save_file(tensors, folder / DELTA, metadata)
    model.config.save_pretrained(folder)


def learned_parameters(model: PreTrainedModel) -> int:
    return sum(tensor.numel() for tensor in learned_tensors(model).values())
