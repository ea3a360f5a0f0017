"""BERT's body (arXiv:1810.04805); what is on top of it is in `bert_heads.py`.

Writes layers through `EncoderGraph`; knows no operator and no precision.
"""

from __future__ import annotations

import numpy as np

from bestiary.errors import KernelError
from deployments.kernels.checkpoint import Checkpoint
from deployments.kernels.encoder_graph import EncoderGraph, Vector

GAMMA = {"weight": "gamma", "bias": "beta"}  # as norms are called in the first checkpoints


def write_body(checkpoint: Checkpoint, graph: EncoderGraph) -> str:
    """BertModel, or any class that holds one under the prefix `bert.`: its hidden states.

    Raises KernelError for a body that is not BERT's.
    """
    config = checkpoint.config
    if config.text("hidden_act", "gelu") != "gelu":
        raise KernelError(f"activation {config.text('hidden_act')!r} is not GELU")
    if config.text("position_embedding_type", "absolute") != "absolute":
        raise KernelError("relative position embeddings are not supported")
    weights = BertWeights(checkpoint)
    hidden = graph.embed(
        (
            weights.words(),
            weights.tensor("embeddings.position_embeddings.weight"),
            weights.tensor("embeddings.token_type_embeddings.weight"),
        ),
        weights.norm("embeddings.LayerNorm"),
        weights.epsilon,
        "embed",
    )
    heads = config.integer("num_attention_heads")
    for layer in range(config.integer("num_hidden_layers")):
        hidden = _layer(weights, graph, f"encoder.layer.{layer}", hidden, heads)
    return hidden


class BertWeights:
    """BERT's tensors by their names in BertModel, whatever class they were saved from."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._prefix = "bert." if "bert.embeddings.word_embeddings.weight" in checkpoint else ""
        self.epsilon = checkpoint.config.number("layer_norm_eps", 1e-12)

    def __contains__(self, name: str) -> bool:
        return self._prefix + name in self._checkpoint

    def words(self) -> Vector:
        """[vocabulary, width]"""
        return self.tensor("embeddings.word_embeddings.weight")

    def tensor(self, name: str) -> Vector:
        return self._checkpoint.tensor(self._prefix + name)

    def norm(self, name: str) -> tuple[Vector, Vector]:
        return norm_of(self._checkpoint, self._prefix + name)

    def dense(self, name: str) -> tuple[Vector, Vector]:
        return self.tensor(f"{name}.weight"), self.tensor(f"{name}.bias")


def norm_of(checkpoint: Checkpoint, name: str) -> tuple[Vector, Vector]:
    """Scale and shift of a norm, under either of the names that they have had."""
    old = f"{name}.gamma" in checkpoint
    scale, shift = (GAMMA[part] if old else part for part in ("weight", "bias"))
    return checkpoint.tensor(f"{name}.{scale}"), checkpoint.tensor(f"{name}.{shift}")


def _layer(weights: BertWeights, graph: EncoderGraph, prefix: str, x: str, heads: int) -> str:
    attended = _project(
        weights, graph, _attention(weights, graph, prefix, x, heads), f"{prefix}.attention.output"
    )
    x = graph.skip_layer_norm(
        attended,
        x,
        weights.tensor(f"{prefix}.attention.output.dense.bias"),
        weights.norm(f"{prefix}.attention.output.LayerNorm"),
        weights.epsilon,
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
        weights.epsilon,
        f"{prefix}.norm",
    )


def _attention(weights: BertWeights, graph: EncoderGraph, prefix: str, x: str, heads: int) -> str:
    parts = [f"{prefix}.attention.self.{part}" for part in ("query", "key", "value")]
    query, key, value = (
        graph.precision.linear(x, weights.tensor(f"{part}.weight"), None, part) for part in parts
    )
    # The operator adds the biases itself.
    bias = np.concatenate([weights.tensor(f"{part}.bias") for part in parts])
    return graph.attention((query, key, value), bias, heads, f"{prefix}.attention")


def _project(weights: BertWeights, graph: EncoderGraph, x: str, name: str) -> str:
    """Without its bias, which the next operator adds."""
    return graph.precision.linear(x, weights.tensor(f"{name}.dense.weight"), None, name)
