"""GPT-2: learned positions, layer norms with shifts, a GELU between two layers, all biased.

"Language Models are Unsupervised Multitask Learners" (Radford and others, 2019). Writes
layers through `DecoderGraph`; knows no operator and no precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bestiary.errors import KernelError
from deployments.kernels.attention import AttentionShape, Vector
from deployments.kernels.checkpoint import Checkpoint, Config
from deployments.kernels.decoder_graph import DecoderGraph

PREFIX = "transformer."
GELU_BY_TANH = ("gelu_new", "gelu_pytorch_tanh")
UNSUPPORTED = ("add_cross_attention", "scale_attn_by_inverse_layer_idx")


@dataclass(frozen=True, slots=True)
class Gpt2Shape:
    """What `config.json` says of one model."""

    layers: int
    epsilon: float
    tied: bool  # the head is the embedding table
    attention: AttentionShape


def write_gpt2(checkpoint: Checkpoint, graph: DecoderGraph, positions: int) -> None:
    """Writes GPT2LMHeadModel."""
    shape = _read_shape(checkpoint.config)
    weights = _Gpt2(checkpoint)
    table = weights.tensor("wte.weight")
    hidden = graph.add(
        graph.precision.embedding(graph.ids, table, "wte"),
        graph.learned_positions(weights.tensor("wpe.weight")[:positions], "wpe"),
        "embedded",
    )
    normed = graph.layer_norm(hidden, weights.norm("h.0.ln_1"), shape.epsilon, "h.0.ln_1")
    for layer in range(shape.layers):
        prefix = f"h.{layer}"
        attended = _attention(weights, graph, shape, layer, normed)
        normed, hidden = graph.skip_layer_norm(
            attended, hidden, weights.norm(f"{prefix}.ln_2"), shape.epsilon, f"{prefix}.ln_2"
        )
        passed = _mlp(weights, graph, f"{prefix}.mlp", normed)
        following = f"h.{layer + 1}.ln_1" if layer + 1 < shape.layers else "ln_f"
        normed, hidden = graph.skip_layer_norm(
            passed, hidden, weights.norm(following), shape.epsilon, following
        )
    last = graph.at_wanted(normed, table.shape[1])
    if shape.tied:
        graph.head(last, table, "wte")
    else:
        graph.head(last, checkpoint.tensor("lm_head.weight"), "lm_head")


class _Gpt2:
    """GPT-2's tensors by their names in GPT2Model, whatever class they were saved from."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        # The checkpoints that OpenAI's weights are in were saved from GPT2Model.
        self._prefix = PREFIX if f"{PREFIX}wte.weight" in checkpoint else ""

    def tensor(self, name: str) -> Vector:
        return self._checkpoint.tensor(self._prefix + name)

    def norm(self, name: str) -> tuple[Vector, Vector]:
        return self.tensor(f"{name}.weight"), self.tensor(f"{name}.bias")

    def linear(self, graph: DecoderGraph, x: str, name: str) -> str:
        # Conv1D keeps its weight as [in, out].
        weight = np.ascontiguousarray(self.tensor(f"{name}.weight").T)
        modules = ((PREFIX + name, len(weight)),)
        return graph.linear(x, weight, self.tensor(f"{name}.bias"), name, modules)


def _attention(weights: _Gpt2, graph: DecoderGraph, shape: Gpt2Shape, layer: int, x: str) -> str:
    prefix = f"h.{layer}.attn"
    packed = weights.linear(graph, x, f"{prefix}.c_attn")
    attended = graph.attention(layer, packed, shape.attention, rotary=None)
    return weights.linear(graph, attended, f"{prefix}.c_proj")


def _mlp(weights: _Gpt2, graph: DecoderGraph, prefix: str, x: str) -> str:
    widened = graph.gelu(weights.linear(graph, x, f"{prefix}.c_fc"), prefix)
    return weights.linear(graph, widened, f"{prefix}.c_proj")


def _read_shape(config: Config) -> Gpt2Shape:
    activation = config.text("activation_function", "gelu_new")
    if activation not in GELU_BY_TANH:
        raise KernelError(f"activation {activation!r} is not one of {', '.join(GELU_BY_TANH)}")
    for option in UNSUPPORTED:
        if config.flag(option, False):
            raise KernelError(f"{option} is not supported")
    heads = config.integer("n_head")
    return Gpt2Shape(
        layers=config.integer("n_layer"),
        epsilon=config.number("layer_norm_epsilon", 1e-5),
        tied=config.flag("tie_word_embeddings", True),
        attention=AttentionShape(
            heads=heads,
            kv_heads=heads,
            head_dim=config.integer("n_embd") // heads,
            scale=None if config.flag("scale_attn_weights", True) else 1.0,
        ),
    )
