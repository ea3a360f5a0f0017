"""Gemma 3, text only: four norms around each layer, norms of heads, layers with windows.

Gemma 3 technical report, arXiv:2503.19786. Writes layers through `DecoderGraph`; knows
no operator and no precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bestiary.errors import KernelError
from deployments.kernels.attention import ALL, AttentionShape, HeadNorms, Rotary, Vector
from deployments.kernels.checkpoint import Checkpoint, Config
from deployments.kernels.decoder_graph import DecoderGraph
from deployments.kernels.rotary import Tables, scaled_tables
from deployments.kernels.stacked import stacked_linear
from deployments.kernels.windows import FULL, SLIDING, windows_by_layer

EMBEDDING = "model.embed_tokens"
GELU_BY_TANH = "gelu_pytorch_tanh"
SOFTCAPS = ("final_logit_softcapping", "attn_logit_softcapping")  # Gemma 2's
WINDOW_PATTERN = 6  # transformers' default: every sixth layer sees everything
THETAS = {FULL: 1_000_000.0, SLIDING: 10_000.0}


@dataclass(frozen=True, slots=True)
class Gemma3Shape:
    """What `config.json` says of one model."""

    epsilon: float
    tied: bool  # the head is the embedding table
    head_dim: int
    attention: tuple[AttentionShape, ...]  # of each layer


def write_gemma3(checkpoint: Checkpoint, graph: DecoderGraph, positions: int) -> None:
    """Writes Gemma3ForCausalLM."""
    config = checkpoint.config
    shape = _read_shape(config)
    weights = _Gemma3(checkpoint, graph, shape.epsilon)
    rotaries = {
        kind: graph.rotary(f"rotary.{kind}", *_tables(config, kind, shape.head_dim, positions))
        for kind in THETAS
    }
    table = checkpoint.tensor(f"{EMBEDDING}.weight")
    # Not folded into the table, which is the head as well.
    hidden = graph.scaled(
        graph.precision.embedding(graph.ids, table, EMBEDDING),
        math.sqrt(table.shape[1]),
        f"{EMBEDDING}/scaled",
    )
    normed = graph.rms_norm(hidden, *weights.norm("model.layers.0.input_layernorm"))
    layers = len(shape.attention)
    for layer, attention in enumerate(shape.attention):
        prefix = f"model.layers.{layer}"
        rotary = rotaries[FULL if attention.window == ALL else SLIDING]
        attended = _attention(weights, layer, attention, normed, rotary)
        normed, hidden = graph.skip_rms_norm(
            graph.rms_norm(attended, *weights.norm(f"{prefix}.post_attention_layernorm")),
            hidden,
            *weights.norm(f"{prefix}.pre_feedforward_layernorm"),
        )
        passed = _gated_mlp(weights, f"{prefix}.mlp", normed)
        last = layer + 1 == layers
        following = "model.norm" if last else f"model.layers.{layer + 1}.input_layernorm"
        normed, hidden = graph.skip_rms_norm(
            graph.rms_norm(passed, *weights.norm(f"{prefix}.post_feedforward_layernorm")),
            hidden,
            *weights.norm(following),
        )
    wanted = graph.at_wanted(normed, table.shape[1])
    if shape.tied:
        graph.head(wanted, table, EMBEDDING)
    else:
        graph.head(wanted, checkpoint.tensor("lm_head.weight"), "lm_head")


class _Gemma3:
    """The checkpoint's tensors, as the graph's parts take them."""

    def __init__(self, checkpoint: Checkpoint, graph: DecoderGraph, epsilon: float) -> None:
        self._checkpoint = checkpoint
        self.graph = graph
        self.epsilon = epsilon

    def norm(self, name: str) -> tuple[Vector, float, str]:
        return self.scale(name), self.epsilon, name

    def scale(self, name: str) -> Vector:
        """Gemma keeps how far a norm's scale is from 1."""
        return self._checkpoint.tensor(f"{name}.weight") + np.float32(1)

    def linear(self, x: str, modules: list[str], name: str) -> str:
        return stacked_linear(self._checkpoint, self.graph, x, modules, name)


def _attention(weights: _Gemma3, layer: int, shape: AttentionShape, x: str, rotary: Rotary) -> str:
    prefix = f"model.layers.{layer}.self_attn"
    packed = weights.linear(x, [f"{prefix}.{part}_proj" for part in "qkv"], f"{prefix}.qkv_proj")
    queries, keys = (weights.scale(f"{prefix}.{part}_norm") for part in "qk")
    norms = HeadNorms(queries, keys, weights.epsilon)
    attended = weights.graph.attention(layer, packed, shape, rotary, norms)
    return weights.linear(attended, [f"{prefix}.o_proj"], f"{prefix}.o_proj")


def _gated_mlp(weights: _Gemma3, prefix: str, x: str) -> str:
    gate, up = (
        weights.linear(x, [f"{prefix}.{part}_proj"], f"{prefix}.{part}_proj")
        for part in ("gate", "up")
    )
    opened = weights.graph.gelu_gate(gate, up, prefix)
    return weights.linear(opened, [f"{prefix}.down_proj"], f"{prefix}.down_proj")


def _tables(config: Config, kind: str, head_dim: int, positions: int) -> Tables:
    """Of the layers of one kind, which transformers 5 and 4 say in different keys."""
    sections = config.section("rope_parameters")
    if sections is not None:
        section = sections.section(kind)
        if section is None:
            raise KernelError(f"rope_parameters have no {kind!r}")
        return scaled_tables(section, THETAS[kind], head_dim, positions)
    if kind == SLIDING:
        theta = config.number("rope_local_base_freq", THETAS[SLIDING])
        return scaled_tables(None, theta, head_dim, positions)
    theta = config.number("rope_theta", THETAS[FULL])
    return scaled_tables(config.section("rope_scaling"), theta, head_dim, positions)


def _read_shape(config: Config) -> Gemma3Shape:
    activation = config.text("hidden_activation", GELU_BY_TANH)
    if activation != GELU_BY_TANH:
        raise KernelError(f"activation {activation!r} is not {GELU_BY_TANH}")
    for softcap in SOFTCAPS:
        if config.number(softcap, 0.0):
            raise KernelError(f"{softcap} is not supported")
    if config.flag("use_bidirectional_attention", False):
        raise KernelError("use_bidirectional_attention is not supported: a decoder sees its past")
    heads = config.integer("num_attention_heads")
    kv_heads = config.integer("num_key_value_heads")
    head_dim = config.integer("head_dim")
    scale = config.number("query_pre_attn_scalar") ** -0.5
    pattern = config.integer("sliding_window_pattern", WINDOW_PATTERN)
    windows = windows_by_layer(config, lambda layer: (layer + 1) % pattern != 0)
    return Gemma3Shape(
        epsilon=config.number("rms_norm_eps"),
        tied=config.flag("tie_word_embeddings", True),
        head_dim=head_dim,
        attention=tuple(
            AttentionShape(heads, kv_heads, head_dim, window, scale) for window in windows
        ),
    )
