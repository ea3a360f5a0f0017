"""BART (arXiv:1910.13461) and Marian (arXiv:1804.00344): post-norm encoder-decoders.

BART's positions are learned and start at its table's third row; Marian's are sinusoids.
Writes layers through `SourceGraph` and `TargetGraph`; knows no operator and no precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bestiary.errors import KernelError
from deployments.kernels.checkpoint import Checkpoint, Config
from deployments.kernels.seq2seq_layers import Norm, Seq2SeqLayers, Vector
from deployments.kernels.source_graph import HeadsShape, SourceGraph, sinusoids
from deployments.kernels.target_graph import TargetGraph

SHARED = "model.shared"
BART_OFFSET = 2  # rows of its position tables that stand for no place
EPSILON = 1e-5  # torch's default, which neither class changes
PARTS = ("q_proj", "k_proj", "v_proj")

Positions = Callable[[Checkpoint, str], Vector]  # of "encoder" or "decoder": [positions, width]


@dataclass(frozen=True, slots=True)
class _Side:
    """The encoder or the decoder of one model."""

    checkpoint: Checkpoint
    name: str
    graph: Seq2SeqLayers
    heads: HeadsShape
    layers: int
    activation: str

    def linear(self, x: str, name: str) -> str:
        weight, bias = _affine(self.checkpoint, name)
        return self.graph.linear(x, weight, bias, name)

    def norm(self, name: str) -> Norm:
        return _affine(self.checkpoint, name)

    def skip_norm(self, x: str, skip: str, name: str) -> str:
        return self.graph.skip_layer_norm(x, skip, self.norm(name), EPSILON, name)

    def feed_forward(self, x: str, layer: str) -> str:
        opened = self.graph.activation(self.activation, self.linear(x, f"{layer}.fc1"), layer)
        return self.skip_norm(self.linear(opened, f"{layer}.fc2"), x, f"{layer}.final_layer_norm")

    @property
    def table(self) -> tuple[Vector, str]:
        """The embedding, and the name it is kept under."""
        own = f"model.{self.name}.embed_tokens"
        name = own if f"{own}.weight" in self.checkpoint else SHARED
        return self.checkpoint.tensor(f"{name}.weight"), name

    def embedded(self, ids: str) -> str:
        table, name = self.table
        config = self.checkpoint.config
        factor = math.sqrt(table.shape[1]) if config.flag("scale_embedding", False) else 1.0
        return self.graph.scaled(
            self.graph.precision.embedding(ids, table, name), factor, "embed/scaled"
        )

    def placed(self, embedded: str, positions: str) -> str:
        """With positions, and normalised where the model has a norm there."""
        placed = self.graph.add(embedded, positions, "embed")
        norm = f"model.{self.name}.layernorm_embedding"
        if f"{norm}.weight" not in self.checkpoint:
            return placed
        return self.graph.layer_norm(placed, self.norm(norm), EPSILON, norm)


def write_bart_encoder(checkpoint: Checkpoint, graph: SourceGraph) -> None:
    _write_encoder(checkpoint, graph, _learned)


def write_bart_decoder(checkpoint: Checkpoint, graph: TargetGraph) -> None:
    _write_decoder(checkpoint, graph, _learned)


def write_marian_encoder(checkpoint: Checkpoint, graph: SourceGraph) -> None:
    _write_encoder(checkpoint, graph, _sinusoidal)


def write_marian_decoder(checkpoint: Checkpoint, graph: TargetGraph) -> None:
    _write_decoder(checkpoint, graph, _sinusoidal)


def bart_positions(config: Config) -> int:
    return config.integer("max_position_embeddings")


def _write_encoder(checkpoint: Checkpoint, graph: SourceGraph, positions: Positions) -> None:
    side = _side(checkpoint, "encoder", graph)
    places = graph.positions(positions(checkpoint, "encoder"), "positions")
    x = side.placed(side.embedded(graph.ids), places)
    for layer in range(side.layers):
        prefix = f"model.encoder.layers.{layer}"
        name = f"{prefix}.self_attn"
        queries, keys, values = (side.linear(x, f"{name}.{part}") for part in PARTS)
        attended = graph.attention((queries, keys, values), side.heads, name)
        x = side.skip_norm(side.linear(attended, f"{name}.out_proj"), x, f"{name}_layer_norm")
        x = side.feed_forward(x, prefix)
    decoder = _side(checkpoint, "decoder", graph)
    for layer in range(decoder.layers):
        name = f"model.decoder.layers.{layer}.encoder_attn"
        for part, written in (("k_proj", "key"), ("v_proj", "value")):
            made = decoder.linear(x, f"{name}.{part}")
            graph.cross_heads(made, decoder.heads, f"{layer}.{written}")


def _write_decoder(checkpoint: Checkpoint, graph: TargetGraph, positions: Positions) -> None:
    side = _side(checkpoint, "decoder", graph)
    places = graph.positions(positions(checkpoint, "decoder"), "positions")
    x = side.placed(side.embedded(graph.ids), places)
    for layer in range(side.layers):
        prefix = f"model.decoder.layers.{layer}"
        name = f"{prefix}.self_attn"
        weights, biases = zip(*(_affine(checkpoint, f"{name}.{p}") for p in PARTS), strict=True)
        # One product for queries, keys and values: at one row a product costs its dispatch.
        packed = graph.linear(x, np.concatenate(weights), np.concatenate(biases), f"{name}.qkv")
        attended = graph.self_attention(layer, packed, side.heads)
        x = side.skip_norm(side.linear(attended, f"{name}.out_proj"), x, f"{name}_layer_norm")
        name = f"{prefix}.encoder_attn"
        last = layer + 1 == side.layers
        look = graph.shown_cross_attention if last else graph.cross_attention
        looked = look(layer, side.linear(x, f"{name}.q_proj"), side.heads)
        x = side.skip_norm(side.linear(looked, f"{name}.out_proj"), x, f"{name}_layer_norm")
        x = side.feed_forward(x, prefix)
    table, name = side.table
    if "lm_head.weight" in checkpoint:
        table, name = checkpoint.tensor("lm_head.weight"), "lm_head"
    bias = None
    if "final_logits_bias" in checkpoint:
        bias = checkpoint.tensor("final_logits_bias").reshape(-1)
    graph.head(x, table, bias, name)


def _learned(checkpoint: Checkpoint, side: str) -> Vector:
    return checkpoint.tensor(f"model.{side}.embed_positions.weight")[BART_OFFSET:]


def _sinusoidal(checkpoint: Checkpoint, side: str) -> Vector:
    config = checkpoint.config
    return sinusoids(config.integer("max_position_embeddings"), config.integer("d_model"))


def _side(checkpoint: Checkpoint, name: str, graph: Seq2SeqLayers) -> _Side:
    config = checkpoint.config
    if config.flag("normalize_before", False) or config.flag("add_final_layer_norm", False):
        raise KernelError("pre-norm variants of BART are not supported")
    heads = config.integer(f"{name}_attention_heads")
    return _Side(
        checkpoint=checkpoint,
        name=name,
        graph=graph,
        heads=HeadsShape(heads, config.integer("d_model") // heads),
        layers=config.integer(f"{name}_layers"),
        activation=config.text("activation_function", "gelu"),
    )


def _affine(checkpoint: Checkpoint, name: str) -> tuple[Vector, Vector]:
    return checkpoint.tensor(f"{name}.weight"), checkpoint.tensor(f"{name}.bias")
