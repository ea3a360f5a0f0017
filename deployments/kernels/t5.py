"""T5 and flan-T5 (arXiv:1910.10683, arXiv:2210.11416), with ReLU or a gated activation.

Positions are learned biases of the attention scores, by distance. Writes layers through
`SourceGraph` and `TargetGraph`; knows no operator and no precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deployments.kernels.checkpoint import Checkpoint, Config
from deployments.kernels.seq2seq_layers import Seq2SeqLayers, Vector
from deployments.kernels.seq2seq_names import UNLIMITED
from deployments.kernels.source_graph import HeadsShape, SourceGraph
from deployments.kernels.target_graph import TargetGraph

SHARED = "shared.weight"
PARTS = "qkv"


@dataclass(frozen=True, slots=True)
class T5Shape:
    """What `config.json` says of one model."""

    width: int
    attention: HeadsShape
    encoder_layers: int
    decoder_layers: int
    buckets: int
    reach: int  # tokens beyond which every distance is the same
    epsilon: float
    gated: bool
    activation: str
    scales_output: bool


def write_t5_encoder(checkpoint: Checkpoint, graph: SourceGraph) -> None:
    shape = _read_shape(checkpoint.config)
    first = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    buckets = _buckets(np.arange(-shape.reach, shape.reach + 1), shape, both_ways=True)
    bias = graph.relative_bias(checkpoint.tensor(first)[buckets], "relative")
    hidden = graph.precision.embedding(graph.ids, checkpoint.tensor(SHARED), SHARED)
    normed = graph.rms_norm(hidden, *_norm(checkpoint, shape, "encoder.block.0.layer.0"))
    for layer in range(shape.encoder_layers):
        block = f"encoder.block.{layer}"
        name = f"{block}.layer.0.SelfAttention"
        queries, keys, values = (_linear(checkpoint, graph, normed, f"{name}.{p}") for p in PARTS)
        attended = graph.attention((queries, keys, values), shape.attention, name, bias)
        normed, hidden = graph.skip_rms_norm(
            _linear(checkpoint, graph, attended, f"{name}.o"),
            hidden,
            *_norm(checkpoint, shape, f"{block}.layer.1"),
        )
        passed = _feed_forward(checkpoint, graph, shape, f"{block}.layer.1", normed)
        last = layer + 1 == shape.encoder_layers
        following = "encoder.final" if last else f"encoder.block.{layer + 1}.layer.0"
        normed, hidden = graph.skip_rms_norm(passed, hidden, *_norm(checkpoint, shape, following))
    for layer in range(shape.decoder_layers):
        name = f"decoder.block.{layer}.layer.1.EncDecAttention"
        for part, written in (("k", "key"), ("v", "value")):
            made = _linear(checkpoint, graph, normed, f"{name}.{part}")
            graph.cross_heads(made, shape.attention, f"{layer}.{written}")


def write_t5_decoder(checkpoint: Checkpoint, graph: TargetGraph) -> None:
    shape = _read_shape(checkpoint.config)
    first = "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    buckets = _buckets(-np.arange(shape.reach + 1), shape, both_ways=False)
    bias = graph.relative_bias(checkpoint.tensor(first)[buckets], "relative")
    table = checkpoint.tensor(SHARED)
    hidden = graph.precision.embedding(graph.ids, table, SHARED)
    normed = graph.rms_norm(hidden, *_norm(checkpoint, shape, "decoder.block.0.layer.0"))
    for layer in range(shape.decoder_layers):
        block = f"decoder.block.{layer}"
        name = f"{block}.layer.0.SelfAttention"
        # One product for queries, keys and values: at one row a product costs its dispatch.
        stacked = np.concatenate([checkpoint.tensor(f"{name}.{part}.weight") for part in PARTS])
        packed = graph.linear(normed, stacked, None, f"{name}.qkv")
        attended = graph.self_attention(layer, packed, shape.attention, bias)
        normed, hidden = graph.skip_rms_norm(
            _linear(checkpoint, graph, attended, f"{name}.o"),
            hidden,
            *_norm(checkpoint, shape, f"{block}.layer.1"),
        )
        name = f"{block}.layer.1.EncDecAttention"
        queries = _linear(checkpoint, graph, normed, f"{name}.q")
        last = layer + 1 == shape.decoder_layers
        looked = graph.shown_cross_attention if last else graph.cross_attention
        normed, hidden = graph.skip_rms_norm(
            _linear(checkpoint, graph, looked(layer, queries, shape.attention), f"{name}.o"),
            hidden,
            *_norm(checkpoint, shape, f"{block}.layer.2"),
        )
        passed = _feed_forward(checkpoint, graph, shape, f"{block}.layer.2", normed)
        following = "decoder.final" if last else f"decoder.block.{layer + 1}.layer.0"
        normed, hidden = graph.skip_rms_norm(passed, hidden, *_norm(checkpoint, shape, following))
    if shape.scales_output:
        normed = graph.scaled(normed, shape.width**-0.5, "head/scaled")
    if "lm_head.weight" in checkpoint:
        graph.head(normed, checkpoint.tensor("lm_head.weight"), None, "lm_head")
    else:
        graph.head(normed, table, None, SHARED)


def t5_positions(config: Config) -> int:
    """Distances are learned, not places: there is no longest text."""
    return UNLIMITED


def _feed_forward(
    checkpoint: Checkpoint, graph: Seq2SeqLayers, shape: T5Shape, prefix: str, x: str
) -> str:
    name = f"{prefix}.DenseReluDense"
    if shape.gated:
        opened = graph.activation(
            shape.activation, _linear(checkpoint, graph, x, f"{name}.wi_0"), name
        )
        inner = graph.gate(opened, _linear(checkpoint, graph, x, f"{name}.wi_1"), name)
    else:
        inner = graph.activation(
            shape.activation, _linear(checkpoint, graph, x, f"{name}.wi"), name
        )
    return _linear(checkpoint, graph, inner, f"{name}.wo")


def _linear(checkpoint: Checkpoint, graph: Seq2SeqLayers, x: str, name: str) -> str:
    return graph.linear(x, checkpoint.tensor(f"{name}.weight"), None, name)


def _norm(checkpoint: Checkpoint, shape: T5Shape, prefix: str) -> tuple[Vector, float, str]:
    name = f"{prefix}_layer_norm" if prefix.endswith("final") else f"{prefix}.layer_norm"
    return checkpoint.tensor(f"{name}.weight"), shape.epsilon, name


def _buckets(away: NDArray[np.int64], shape: T5Shape, *, both_ways: bool) -> NDArray[np.int64]:
    """Rows of the learned table, by key's place minus query's place.

    Half of the buckets are for one distance each, the others grow with its logarithm.
    """
    buckets, offset = shape.buckets, np.zeros_like(away)
    if both_ways:
        buckets //= 2
        offset = np.where(away > 0, buckets, 0)
        distance = np.abs(away)
    else:
        distance = np.maximum(-away, 0)
    exact = buckets // 2
    # In float32, as torch does it: at a border another rounding is another bucket.
    ratio = np.maximum(distance, 1).astype(np.float32) / np.float32(exact)
    grown = np.log(ratio) / np.float32(math.log(shape.reach / exact)) * np.float32(buckets - exact)
    far = np.minimum(exact + grown.astype(np.int64), buckets - 1)
    rows: NDArray[np.int64] = offset + np.where(distance < exact, distance, far)
    return rows


def _read_shape(config: Config) -> T5Shape:
    projection = config.text("feed_forward_proj", "relu").split("-")
    activation = projection[-1]
    gated = projection[0] == "gated"
    layers = config.integer("num_layers")
    return T5Shape(
        width=config.integer("d_model"),
        attention=HeadsShape(config.integer("num_heads"), config.integer("d_kv"), scale=1.0),
        encoder_layers=layers,
        decoder_layers=config.integer("num_decoder_layers", layers),
        buckets=config.integer("relative_attention_num_buckets", 32),
        reach=config.integer("relative_attention_max_distance", 128),
        epsilon=config.number("layer_norm_epsilon", 1e-6),
        gated=gated,
        activation="gelu_new" if gated and activation == "gelu" else activation,
        # Tied models were trained with their output scaled; transformers 5 writes it down.
        scales_output=config.flag(
            "scale_decoder_outputs", config.flag("tie_word_embeddings", True)
        ),
    )
