"""The parts that every decoder graph shares: its inputs and outputs, attention, norms, head.

The graph is made for continuous batching. A run takes S new tokens of each of B
rows (S > 1 only with B = 1); row b has its own length:

    input_ids                  int64 [B, S]
    seqlens_k                  int32 [B]      row's KV length after this run, minus 1
    total_sequence_length      int32 []       the longest row's KV length after this run
    wanted_positions           int64 [B, K, 1]  which of the S positions the logits are for
    past_key_values.L.key      [B, kv_heads, max_length, head_dim], and `.value`
    present.L.key              the same buffer as past_key_values.L.key
    logits                     float32 [B * K, vocabulary], row after row

What an architecture is made of is in its own file (`llama.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from deployments.kernels import decoder_names as names
from deployments.kernels.graph_writer import MICROSOFT, GraphWriter
from deployments.kernels.precisions import Precision


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """Grouped-query attention (arXiv:2305.13245): query heads share key and value heads."""

    heads: int
    kv_heads: int
    head_dim: int
    window: int = -1  # how many positions back a token sees; -1: all


class DecoderGraph:
    """Writes a decoder, part by part, in the order in which data flows."""

    def __init__(self, graph: GraphWriter, precision: Precision) -> None:
        self.precision = precision
        self._graph = graph
        self.ids = graph.input(names.IDS, TensorProto.INT64, ["batch", "sequence"])
        self._lengths = graph.input(names.LENGTHS, TensorProto.INT32, ["batch"])
        self._longest = graph.input(names.LONGEST, TensorProto.INT32, [])
        self._wanted = graph.input(names.WANTED, TensorProto.INT64, ["batch", "wanted", 1])

    def rotary(
        self, name: str, cosines: NDArray[np.float32], sines: NDArray[np.float32]
    ) -> tuple[str, str]:
        """Tables [positions, head_dim / 2] that `attention` turns queries and keys by."""
        return (
            self.precision.vector(cosines, f"{name}.cosines"),
            self.precision.vector(sines, f"{name}.sines"),
        )

    def attention(
        self, layer: int, packed: str, shape: AttentionShape, rotary: tuple[str, str]
    ) -> str:
        """packed [B, S, (heads + 2 kv_heads) * head_dim] -> [B, S, heads * head_dim]."""
        past = [self._cache("input", names.past(layer, part), shape) for part in names.PARTS]
        present = [self._cache("output", names.present(layer, part), shape) for part in names.PARTS]
        name = f"layers.{layer}/attention"
        return self._graph.node(
            "GroupQueryAttention",
            [packed, "", "", *past, self._lengths, self._longest, *rotary],
            name,
            outputs=[name, *present],
            domain=MICROSOFT,
            num_heads=shape.heads,
            kv_num_heads=shape.kv_heads,
            local_window_size=shape.window,
            do_rotary=1,
            rotary_interleaved=0,
        )

    def rms_norm(self, x: str, weight: NDArray[np.float32], epsilon: float, name: str) -> str:
        """arXiv:1910.07467."""
        stored = self.precision.vector(weight, f"{name}.weight")
        return self._graph.node(
            "SimplifiedLayerNormalization", [x, stored], name, axis=-1, epsilon=epsilon
        )

    def skip_rms_norm(
        self, x: str, skip: str, weight: NDArray[np.float32], epsilon: float, name: str
    ) -> tuple[str, str]:
        """The norm of x + skip, and x + skip itself."""
        stored = self.precision.vector(weight, f"{name}.weight")
        residual = f"{name}/residual"
        self._graph.node(
            "SkipSimplifiedLayerNormalization",
            [x, skip, stored],
            name,
            outputs=[name, "", "", residual],
            domain=MICROSOFT,
            epsilon=epsilon,
        )
        return name, residual

    def silu_gate(self, gate: str, up: str, name: str) -> str:
        """silu(gate) * up (SwiGLU, arXiv:2002.05202); QuickGelu with alpha 1 is SiLU, fused."""
        opened = self._graph.node("QuickGelu", [gate], f"{name}/silu", domain=MICROSOFT, alpha=1.0)
        return self._graph.node("Mul", [opened, up], f"{name}/gate")

    def at_wanted(self, hidden: str, width: int) -> str:
        """[B, S, width] -> [B * K, width]: the head is paid for where logits are asked for."""
        found = self._graph.node("GatherND", [hidden, self._wanted], "wanted", batch_dims=1)
        shape = self._graph.constant("wanted.shape", np.array([-1, width], np.int64))
        return self._graph.node("Reshape", [found, shape], "wanted/rows")

    def head(self, last: str, weight: NDArray[np.float32], name: str) -> None:
        """[B * K, width] and weight [vocabulary, width] -> the graph's logits."""
        self._graph.output(names.LOGITS, TensorProto.FLOAT, ["rows", weight.shape[0]])
        self.precision.head(last, weight, name, names.LOGITS)

    def _cache(self, direction: str, name: str, shape: AttentionShape) -> str:
        declare = self._graph.input if direction == "input" else self._graph.output
        return declare(
            name,
            self.precision.element_type,
            ["batch", shape.kv_heads, "max_length", shape.head_dim],
        )
