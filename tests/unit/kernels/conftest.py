"""Small random models, saved as a checkpoint is, and the same models in torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen2Config
from transformers import Qwen2ForCausalLM as Qwen2

from deployments.kernels.decoder_build import build_decoder
from deployments.kernels.decoder_session import DecoderSession, pool_shape
from deployments.kernels.kv_pool import HostPool
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import CPU_ONLY
from deployments.kernels.sessions import SessionSettings, open_session

POSITIONS = 128
SLOTS = 6

Shape = dict[str, int | float | bool | None]
SHAPE: Shape = {
    "vocab_size": 160,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,  # large enough that greedy choices are no near ties
    "bos_token_id": None,
    "eos_token_id": None,
}


@dataclass(frozen=True)
class SmallModel:
    folder: Path
    torch_model: PreTrainedModel


def _saved(model: PreTrainedModel, folder: Path) -> SmallModel:
    model.eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter.uniform_(0.5, 1.5)  # so that one left out would show
    model.save_pretrained(folder)
    return SmallModel(folder, model)


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    torch.manual_seed(1)
    config = LlamaConfig(**SHAPE, rope_theta=5000.0, tie_word_embeddings=True)
    return _saved(LlamaForCausalLM(config), tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def llama_with_biases(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    """Every bias, rope scaling of Llama 3, and a head of its own; saved in two shards."""
    torch.manual_seed(2)
    scaling = {
        "rope_type": "llama3",
        "rope_theta": 500.0,
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    config = LlamaConfig(
        **SHAPE,
        attention_bias=True,
        mlp_bias=True,
        tie_word_embeddings=False,
        rope_parameters=scaling,
    )
    small = _saved(LlamaForCausalLM(config), tmp_path_factory.mktemp("llama-biases"))
    (small.folder / "model.safetensors").unlink()
    small.torch_model.save_pretrained(small.folder, max_shard_size="100KB")
    return small


@pytest.fixture(scope="session")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    torch.manual_seed(3)
    config = Qwen2Config(**SHAPE, tie_word_embeddings=False)
    return _saved(Qwen2(config), tmp_path_factory.mktemp("qwen2"))


OpenSmall = Callable[[SmallModel, str], DecoderSession]


@pytest.fixture
def open_small(tmp_path: Path) -> OpenSmall:
    """Builds and opens a small model at a precision, on two threads."""

    def opened(model: SmallModel, precision: str) -> DecoderSession:
        build_decoder(model.folder, tmp_path, precision, POSITIONS)
        session = open_session(tmp_path / GRAPH_FILE, CPU_ONLY, SessionSettings(threads=2))
        return DecoderSession(session, HostPool(pool_shape(session, SLOTS, POSITIONS)))

    return opened
