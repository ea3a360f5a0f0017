"""Small random BERTs of every class, saved as transformers saves them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from transformers import BertConfig, BertPreTrainedModel

from deployments.kernels.encoder_build import build_encoder, build_open_encoder
from deployments.kernels.encoder_session import EncoderSession, EncoderText, OpenEncoderSession
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import CPU_ONLY
from deployments.kernels.sessions import SessionSettings, open_session
from tests.unit.kernels.rows import tokens

M = TypeVar("M", bound=BertPreTrainedModel)
LONGEST = 40
SHAPE = {
    "vocab_size": 160,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "max_position_embeddings": LONGEST,
    "initializer_range": 0.2,
}
TEXTS = [EncoderText(tokens(length, seed=length)) for length in (1, 40, 7, 23)]
PAIRS = [
    EncoderText(tokens(first + second, seed=first), [0] * first + [1] * second)
    for first, second in ((4, 9), (20, 20), (1, 2))
]


def saved_bert(cls: type[M], folder: Path, **options: object) -> M:
    torch.manual_seed(0)
    model = cls(BertConfig(**SHAPE | options)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "LayerNorm" in name:
                parameter.uniform_(0.2, 0.8)  # so that one left out would show
    model.save_pretrained(folder)
    return model


def opened(folder: Path, target: Path, precision: str = "fp32") -> EncoderSession:
    target.mkdir(exist_ok=True)
    build_encoder(folder, target, precision)
    return EncoderSession(open_session(target / GRAPH_FILE, CPU_ONLY, SessionSettings(threads=1)))


def opened_wide(folder: Path, target: Path) -> OpenEncoderSession:
    target.mkdir(exist_ok=True)
    build_open_encoder(folder, target)
    session = open_session(target / GRAPH_FILE, CPU_ONLY, SessionSettings(threads=1))
    return OpenEncoderSession(session)


def torch_inputs(text: EncoderText) -> dict[str, Tensor]:
    segments: Sequence[int] = text.segments or [0] * len(text.ids)
    return {
        "input_ids": torch.tensor([list(text.ids)]),
        "token_type_ids": torch.tensor([list(segments)]),
    }
