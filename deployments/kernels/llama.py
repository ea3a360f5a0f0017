"""Llama-class decoders: Llama, SmolLM2, Qwen2; RMS norm, rotary, SwiGLU, grouped queries.

Llama 2, arXiv:2307.09288; Qwen2, arXiv:2407.10671. Writes layers through
`DecoderGraph`; knows no operator and no precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import KernelError
from deployments.kernels.checkpoint import Checkpoint, Config
from deployments.kernels.decoder_graph import AttentionShape, DecoderGraph
from deployments.kernels.rotary import rotary_tables

EMBEDDING = "model.embed_tokens"


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """What `config.json` says of one model."""

    layers: int
    epsilon: float
    tied: bool  # the head is the embedding table
    attention: AttentionShape


def write_llama(checkpoint: Checkpoint, graph: DecoderGraph, positions: int) -> None:
    """Writes LlamaForCausalLM or Qwen2ForCausalLM; biases are written where tensors have them."""
    shape = _read_shape(checkpoint.config)
    tables = rotary_tables(checkpoint.config, shape.attention.head_dim, positions)
    rotary = graph.rotary("rotary", *tables)
    table = checkpoint.tensor(f"{EMBEDDING}.weight")
    hidden = graph.precision.embedding(graph.ids, table, EMBEDDING)
    normed = graph.rms_norm(hidden, *_norm(checkpoint, shape, _input_norm(0)))
    for layer in range(shape.layers):
        attended = _attention(checkpoint, graph, shape, layer, normed, rotary)
        normed, hidden = graph.skip_rms_norm(
            attended, hidden, *_norm(checkpoint, shape, f"model.layers.{layer}.post_attention")
        )
        passed = _gated_mlp(checkpoint, graph, layer, normed)
        following = _input_norm(layer + 1) if layer + 1 < shape.layers else "model.norm"
        normed, hidden = graph.skip_rms_norm(passed, hidden, *_norm(checkpoint, shape, following))
    last = graph.at_wanted(normed, table.shape[1])
    if shape.tied:
        graph.head(last, table, EMBEDDING)
    else:
        graph.head(last, checkpoint.tensor("lm_head.weight"), "lm_head")


def _attention(
    checkpoint: Checkpoint,
    graph: DecoderGraph,
    shape: LlamaShape,
    layer: int,
    x: str,
    rotary: tuple[str, str],
) -> str:
    prefix = f"model.layers.{layer}.self_attn"
    names = [f"{prefix}.{part}_proj" for part in "qkv"]
    # One product for queries, keys and values: at one row a product costs its dispatch.
    packed = graph.precision.linear(
        x, _stacked(checkpoint, names), _stacked_bias(checkpoint, names), f"{prefix}.qkv_proj"
    )
    attended = graph.attention(layer, packed, shape.attention, rotary)
    return _linear(checkpoint, graph, attended, f"{prefix}.o_proj")


def _gated_mlp(checkpoint: Checkpoint, graph: DecoderGraph, layer: int, x: str) -> str:
    prefix = f"model.layers.{layer}.mlp"
    gate = _linear(checkpoint, graph, x, f"{prefix}.gate_proj")
    up = _linear(checkpoint, graph, x, f"{prefix}.up_proj")
    return _linear(checkpoint, graph, graph.silu_gate(gate, up, prefix), f"{prefix}.down_proj")


def _linear(checkpoint: Checkpoint, graph: DecoderGraph, x: str, name: str) -> str:
    return graph.precision.linear(
        x, checkpoint.tensor(f"{name}.weight"), _stacked_bias(checkpoint, [name]), name
    )


def _stacked(checkpoint: Checkpoint, names: list[str]) -> NDArray[np.float32]:
    return np.concatenate([checkpoint.tensor(f"{name}.weight") for name in names])


def _stacked_bias(checkpoint: Checkpoint, names: list[str]) -> NDArray[np.float32] | None:
    if f"{names[0]}.bias" not in checkpoint:
        return None
    return np.concatenate([checkpoint.tensor(f"{name}.bias") for name in names])


def _input_norm(layer: int) -> str:
    return f"model.layers.{layer}.input"


def _norm(
    checkpoint: Checkpoint, shape: LlamaShape, name: str
) -> tuple[NDArray[np.float32], float, str]:
    full = name if name == "model.norm" else f"{name}_layernorm"
    return checkpoint.tensor(f"{full}.weight"), shape.epsilon, full


def _read_shape(config: Config) -> LlamaShape:
    if config.text("hidden_act", "silu") != "silu":
        raise KernelError(f"activation {config.text('hidden_act')!r} is not SiLU")
    if config.flag("use_sliding_window", False):
        raise KernelError("a sliding window over a part of the layers is not supported")
    heads = config.integer("num_attention_heads")
    return LlamaShape(
        layers=config.integer("num_hidden_layers"),
        epsilon=config.number("rms_norm_eps"),
        tied=config.flag("tie_word_embeddings", False),
        attention=AttentionShape(
            heads=heads,
            kv_heads=config.integer("num_key_value_heads", heads),
            head_dim=config.integer("head_dim", config.integer("hidden_size") // heads),
        ),
    )
