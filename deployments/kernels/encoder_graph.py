"""The parts that every encoder graph shares: its inputs, embeddings, attention and norms.

A run takes B texts, padded on the right to S tokens:

    input_ids     int32 [B, S]
    segment_ids   int32 [B, S]   which of two sentences a token belongs to
    lengths       int32 [B]      tokens of each text; what is behind them is padding

What comes out is written by `encoder_outputs.py`; what an architecture is made of is in its
own file (`bert.py`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from deployments.kernels import encoder_names as names
from deployments.kernels.graph_writer import MICROSOFT, GraphWriter
from deployments.kernels.precisions import Precision

Vector = NDArray[np.float32]
WORD_TABLE = "embed.word"  # whose constant a tied head shares


class EncoderGraph:
    """Writes an encoder, part by part, in the order in which data flows."""

    def __init__(self, graph: GraphWriter, precision: Precision) -> None:
        self.precision = precision
        self.graph = graph
        self.ids = graph.input(names.IDS, TensorProto.INT32, ["batch", "sequence"])
        self._segments = graph.input(names.SEGMENTS, TensorProto.INT32, ["batch", "sequence"])
        self._lengths = graph.input(names.LENGTHS, TensorProto.INT32, ["batch"])
        self._own: str | None = None

    def embed(
        self,
        tables: tuple[Vector, Vector, Vector],
        norm: tuple[Vector, Vector],
        epsilon: float,
        name: str,
    ) -> str:
        """The sum of word, position and segment embedding, normalised: [B, S, width]."""
        word, position, segment = (
            self.precision.vector(table, f"{name}.{part}.weight")
            for table, part in zip(tables, ("word", "position", "segment"), strict=True)
        )
        self.graph.node(
            "EmbedLayerNormalization",
            [self.ids, self._segments, word, position, segment, *self.norm(norm, name)],
            name,
            outputs=[name, f"{name}/mask"],
            domain=MICROSOFT,
            epsilon=epsilon,
        )
        return name

    def attention(self, packed: tuple[str, str, str], bias: Vector, heads: int, name: str) -> str:
        """Queries, keys and values [B, S, width], their biases [3 width] -> [B, S, width]."""
        stored = self.precision.vector(bias, f"{name}.bias")
        return self.graph.node(
            "MultiHeadAttention",
            [*packed, stored, self._lengths],
            name,
            domain=MICROSOFT,
            num_heads=heads,
        )

    def skip_layer_norm(
        self,
        x: str,
        skip: str,
        bias: Vector,
        norm: tuple[Vector, Vector],
        epsilon: float,
        name: str,
    ) -> str:
        """The norm of x + bias + skip (arXiv:1607.06450)."""
        return self.graph.node(
            "SkipLayerNormalization",
            [x, skip, *self.norm(norm, name), self.precision.vector(bias, f"{name}.skip_bias")],
            name,
            domain=MICROSOFT,
            epsilon=epsilon,
        )

    def bias_gelu(self, x: str, bias: Vector, name: str) -> str:
        """gelu(x + bias), exact (arXiv:1606.08415)."""
        stored = self.precision.vector(bias, f"{name}.bias")
        return self.graph.node("BiasGelu", [x, stored], name, domain=MICROSOFT)

    def own_tokens(self) -> str:
        """[B, 1, S]: 1 for a text's own tokens, 0 for padding. Written where first asked for."""
        if self._own is not None:
            return self._own
        graph = self.graph
        length = graph.node("Shape", [self.ids], "own/shape", start=1, end=2)
        scalar = graph.node("Squeeze", [length], "own/length")
        positions = graph.node(
            "Range",
            [self.integers("own/zero", 0), scalar, self.integers("own/one", 1)],
            "own/positions",
        )
        lengths = graph.node("Cast", [self._lengths], "own/lengths", to=int(TensorProto.INT64))
        column = graph.node("Unsqueeze", [lengths, self.integers("own/axes", [1, 2])], "own/column")
        inside = graph.node("Less", [positions, column], "own/inside")
        self._own = graph.node("Cast", [inside], "own/mask", to=self.precision.element_type)
        return self._own

    def norm(self, norm: tuple[Vector, Vector], name: str) -> tuple[str, str]:
        scale, shift = norm
        return (
            self.precision.vector(scale, f"{name}.scale"),
            self.precision.vector(shift, f"{name}.shift"),
        )

    def integers(self, name: str, value: int | list[int]) -> str:
        return self.graph.constant(name, np.array(value, dtype=np.int64))
