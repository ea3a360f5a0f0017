"""BERT's body with a pooled sentence embedding on top (arXiv:1810.04805, arXiv:1908.10084).

Writes layers through `EncoderGraph`; knows no operator and no precision.
"""

from __future__ import annotations

import numpy as np

from bestiary.errors import KernelError
from deployments.kernels.checkpoint import Checkpoint
from deployments.kernels.encoder_graph import EncoderGraph, Vector


def write_bert(checkpoint: Checkpoint, graph: EncoderGraph) -> None:
    """Writes BertModel, and any class that holds one under the prefix `bert.`."""
    config = checkpoint.config
    if config.text("hidden_act", "gelu") != "gelu":
        raise KernelError(f"activation {config.text('hidden_act')!r} is not GELU")
    if config.text("position_embedding_type", "absolute") != "absolute":
        raise KernelError("relative position embeddings are not supported")
    weights = _Bert(checkpoint)
    epsilon = config.number("layer_norm_eps", 1e-12)
    hidden = graph.embed(
        (
            weights.tensor("embeddings.word_embeddings.weight"),
            weights.tensor("embeddings.position_embeddings.weight"),
            weights.tensor("embeddings.token_type_embeddings.weight"),
        ),
        weights.norm("embeddings.LayerNorm"),
        epsilon,
        "embed",
    )
    heads = config.integer("num_attention_heads")
    for layer in range(config.integer("num_hidden_layers")):
        hidden = _layer(weights, graph, f"encoder.layer.{layer}", hidden, heads, epsilon)
    graph.mean_pooled(hidden, config.integer("hidden_size"))


class _Bert:
    """BERT's tensors by their names in BertModel, whatever class they were saved from."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._prefix = "bert." if "bert.embeddings.word_embeddings.weight" in checkpoint else ""

    def tensor(self, name: str) -> Vector:
        return self._checkpoint.tensor(self._prefix + name)

    def norm(self, name: str) -> tuple[Vector, Vector]:
        return self.tensor(f"{name}.weight"), self.tensor(f"{name}.bias")


def _layer(
    weights: _Bert, graph: EncoderGraph, prefix: str, x: str, heads: int, epsilon: float
) -> str:
    attended = _project(
        weights, graph, _attention(weights, graph, prefix, x, heads), f"{prefix}.attention.output"
    )
    x = graph.skip_layer_norm(
        attended,
        x,
        weights.tensor(f"{prefix}.attention.output.dense.bias"),
        weights.norm(f"{prefix}.attention.output.LayerNorm"),
        epsilon,
        f"{prefix}.attention.norm",
    )
    widened = _project(weights, graph, x, f"{prefix}.intermediate")
    bias = weights.tensor(f"{prefix}.intermediate.dense.bias")
    opened = graph.bias_gelu(widened, bias, f"{prefix}.gelu")
    return graph.skip_layer_norm(
        _project(weights, graph, opened, f"{prefix}.output"),
        x,
        weights.tensor(f"{prefix}.output.dense.bias"),
        weights.norm(f"{prefix}.output.LayerNorm"),
        epsilon,
        f"{prefix}.norm",
    )


def _attention(weights: _Bert, graph: EncoderGraph, prefix: str, x: str, heads: int) -> str:
    parts = [f"{prefix}.attention.self.{part}" for part in ("query", "key", "value")]
    query, key, value = (
        graph.precision.linear(x, weights.tensor(f"{part}.weight"), None, part) for part in parts
    )
    # The operator adds the biases itself.
    bias = np.concatenate([weights.tensor(f"{part}.bias") for part in parts])
    return graph.attention((query, key, value), bias, heads, f"{prefix}.attention")


def _project(weights: _Bert, graph: EncoderGraph, x: str, name: str) -> str:
    """Without its bias, which the next operator adds."""
    return graph.precision.linear(x, weights.tensor(f"{name}.dense.weight"), None, name)
