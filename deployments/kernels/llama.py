"""Llama-class decoders: Llama, SmolLM2, Qwen2, Qwen3, Mistral.

They share RMS norms, rotary positions, SwiGLU and grouped queries. Llama 2,
arXiv:2307.09288; Qwen2, arXiv:2407.10671; Qwen3, arXiv:2505.09388; Mistral,
arXiv:2310.06825. Writes layers through `DecoderGraph`; knows no operator and no precision.
"""

from __future__ import annotations

from dataclasses import dataclass

from bestiary.errors import KernelError
from deployments.kernels.attention import AttentionShape, HeadNorms, Rotary, Vector
from deployments.kernels.checkpoint import Checkpoint, Config
from deployments.kernels.decoder_graph import DecoderGraph
from deployments.kernels.rotary import rotary_tables
from deployments.kernels.stacked import stacked_linear
from deployments.kernels.windows import Windows, no_windows, same_windows, windows_by_layer

EMBEDDING = "model.embed_tokens"
QWEN_WINDOW_LAYERS = 28  # transformers' default of max_window_layers


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """What `config.json` says of one model."""

    epsilon: float
    tied: bool  # the head is the embedding table
    head_dim: int
    attention: tuple[AttentionShape, ...]  # of each layer


def write_llama(checkpoint: Checkpoint, graph: DecoderGraph, positions: int) -> None:
    """Writes LlamaForCausalLM."""
    _write(checkpoint, graph, positions, no_windows(checkpoint.config))


def write_qwen(checkpoint: Checkpoint, graph: DecoderGraph, positions: int) -> None:
    """Writes Qwen2ForCausalLM and Qwen3ForCausalLM, whose last layers may have a window."""
    config = checkpoint.config
    if config.flag("use_sliding_window", False):
        first = config.integer("max_window_layers", QWEN_WINDOW_LAYERS)
        windows = windows_by_layer(config, lambda layer: layer >= first)
    else:
        windows = no_windows(config)
    _write(checkpoint, graph, positions, windows)


def write_mistral(checkpoint: Checkpoint, graph: DecoderGraph, positions: int) -> None:
    """Writes MistralForCausalLM, whose layers all have one window or none."""
    _write(checkpoint, graph, positions, same_windows(checkpoint.config))


def _write(checkpoint: Checkpoint, graph: DecoderGraph, positions: int, windows: Windows) -> None:
    """Biases and norms of heads are written where the checkpoint has tensors for them."""
    shape = _read_shape(checkpoint.config, windows)
    tables = rotary_tables(checkpoint.config, shape.head_dim, positions)
    rotary = graph.rotary("rotary", *tables)
    table = checkpoint.tensor(f"{EMBEDDING}.weight")
    hidden = graph.precision.embedding(graph.ids, table, EMBEDDING)
    normed = graph.rms_norm(hidden, *_norm(checkpoint, shape, _input_norm(0)))
    layers = len(shape.attention)
    for layer in range(layers):
        attended = _attention(checkpoint, graph, shape, layer, normed, rotary)
        normed, hidden = graph.skip_rms_norm(
            attended, hidden, *_norm(checkpoint, shape, f"model.layers.{layer}.post_attention")
        )
        passed = _gated_mlp(checkpoint, graph, layer, normed)
        following = _input_norm(layer + 1) if layer + 1 < layers else "model.norm"
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
    rotary: Rotary,
) -> str:
    prefix = f"model.layers.{layer}.self_attn"
    modules = [f"{prefix}.{part}_proj" for part in "qkv"]
    # One product for queries, keys and values: at one row a product costs its dispatch.
    packed = stacked_linear(checkpoint, graph, x, modules, f"{prefix}.qkv_proj")
    norms = _head_norms(checkpoint, prefix, shape.epsilon)
    attended = graph.attention(layer, packed, shape.attention[layer], rotary, norms)
    return _linear(checkpoint, graph, attended, f"{prefix}.o_proj")


def _gated_mlp(checkpoint: Checkpoint, graph: DecoderGraph, layer: int, x: str) -> str:
    prefix = f"model.layers.{layer}.mlp"
    gate = _linear(checkpoint, graph, x, f"{prefix}.gate_proj")
    up = _linear(checkpoint, graph, x, f"{prefix}.up_proj")
    return _linear(checkpoint, graph, graph.silu_gate(gate, up, prefix), f"{prefix}.down_proj")


def _linear(checkpoint: Checkpoint, graph: DecoderGraph, x: str, name: str) -> str:
    return stacked_linear(checkpoint, graph, x, [name], name)


def _head_norms(checkpoint: Checkpoint, prefix: str, epsilon: float) -> HeadNorms | None:
    """Qwen3's."""
    if f"{prefix}.q_norm.weight" not in checkpoint:
        return None
    queries, keys = (checkpoint.tensor(f"{prefix}.{part}_norm.weight") for part in "qk")
    return HeadNorms(queries, keys, epsilon)


def _input_norm(layer: int) -> str:
    return f"model.layers.{layer}.input"


def _norm(checkpoint: Checkpoint, shape: LlamaShape, name: str) -> tuple[Vector, float, str]:
    full = name if name == "model.norm" else f"{name}_layernorm"
    return checkpoint.tensor(f"{full}.weight"), shape.epsilon, full


def _read_shape(config: Config, windows: Windows) -> LlamaShape:
    if config.text("hidden_act", "silu") != "silu":
        raise KernelError(f"activation {config.text('hidden_act')!r} is not SiLU")
    heads = config.integer("num_attention_heads")
    kv_heads = config.integer("num_key_value_heads", heads)
    head_dim = config.integer("head_dim", config.integer("hidden_size") // heads)
    return LlamaShape(
        epsilon=config.number("rms_norm_eps"),
        tied=config.flag("tie_word_embeddings", False),
        head_dim=head_dim,
        attention=tuple(AttentionShape(heads, kv_heads, head_dim, window) for window in windows),
    )
