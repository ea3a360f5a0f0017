"""Small random models, saved as a checkpoint is, and the same models in torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers import Qwen2ForCausalLM as Qwen2

from deployments.kernels.decoder_build import Writing, build_decoder
from deployments.kernels.decoder_session import DecoderSession, pool_shape
from deployments.kernels.kv_pool import HostPool
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import CPU_ONLY
from deployments.kernels.sessions import SessionSettings, open_session

POSITIONS = 128
SLOTS = 6
WINDOW = 16  # tokens; the tests' prompts are longer

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
            if name.endswith("bias") or "norm" in name or ".ln_" in name:
                parameter.uniform_(0.5, 1.5)  # so that one left out would show
    model.save_pretrained(folder)
    return SmallModel(folder, model)


def _sharded(small: SmallModel) -> SmallModel:
    (small.folder / "model.safetensors").unlink()
    small.torch_model.save_pretrained(small.folder, max_shard_size="100KB")
    return small


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
    return _sharded(_saved(LlamaForCausalLM(config), tmp_path_factory.mktemp("llama-biases")))


@pytest.fixture(scope="session")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    torch.manual_seed(3)
    config = Qwen2Config(**SHAPE, tie_word_embeddings=False)
    return _saved(Qwen2(config), tmp_path_factory.mktemp("qwen2"))


@pytest.fixture(scope="session")
def qwen2_with_window(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    """The first layer sees everything, the second a window."""
    torch.manual_seed(4)
    config = Qwen2Config(
        **SHAPE, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1
    )
    return _saved(Qwen2(config), tmp_path_factory.mktemp("qwen2-window"))


@pytest.fixture(scope="session")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    """Heads wider than hidden_size / heads."""
    torch.manual_seed(5)
    config = Qwen3Config(**SHAPE, head_dim=32, tie_word_embeddings=True)
    return _saved(Qwen3ForCausalLM(config), tmp_path_factory.mktemp("qwen3"))


@pytest.fixture(scope="session")
def mistral(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    torch.manual_seed(6)
    config = MistralConfig(**SHAPE, sliding_window=WINDOW)
    return _sharded(_saved(MistralForCausalLM(config), tmp_path_factory.mktemp("mistral")))


@pytest.fixture(scope="session")
def gemma3(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    """Layers with and without a window, each kind turned in its own way, and wide heads."""
    torch.manual_seed(7)
    ropes = {
        "full_attention": {"rope_type": "linear", "rope_theta": 2000.0, "factor": 4.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 300.0},
    }
    config = Gemma3TextConfig(
        **SHAPE | {"num_hidden_layers": 3},
        head_dim=32,
        query_pre_attn_scalar=24,
        sliding_window=WINDOW,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters=ropes,
    )
    return _saved(Gemma3ForCausalLM(config), tmp_path_factory.mktemp("gemma3"))


GPT2_SHAPE: Shape = {
    "vocab_size": 160,
    "n_embd": 64,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 256,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": None,
}


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    torch.manual_seed(8)
    config = GPT2Config(**GPT2_SHAPE, n_inner=96)
    return _saved(GPT2LMHeadModel(config), tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="session")
def gpt2_without_prefix(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    """Tensors named as in openai-community/gpt2, and scores that are not scaled; in shards."""
    torch.manual_seed(9)
    folder = tmp_path_factory.mktemp("gpt2-bare")
    model = GPT2LMHeadModel(GPT2Config(**GPT2_SHAPE, scale_attn_weights=False))
    small = _saved(model, folder)
    (folder / "model.safetensors").unlink()
    model.transformer.save_pretrained(folder, max_shard_size="100KB")
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["GPT2LMHeadModel"]
    (folder / "config.json").write_text(json.dumps(config))
    return small


OpenSmall = Callable[[SmallModel, str], DecoderSession]


@pytest.fixture
def open_small(tmp_path: Path) -> OpenSmall:
    """Builds and opens a small model at a precision, on two threads."""

    def opened(model: SmallModel, precision: str) -> DecoderSession:
        build_decoder(model.folder, tmp_path, precision, Writing(POSITIONS))
        session = open_session(tmp_path / GRAPH_FILE, CPU_ONLY, SessionSettings(threads=2))
        return DecoderSession(session, HostPool(pool_shape(session, SLOTS, POSITIONS)))

    return opened
