"""The parts that every encoder graph shares: its inputs, attention, norms and pooling.

A run takes B texts, padded on the right to S tokens:

    input_ids     int32 [B, S]
    segment_ids   int32 [B, S]   which of two sentences a token belongs to
    lengths       int32 [B]      tokens of each text; what is behind them is padding
    embeddings    float32 [B, width], of unit length

What an architecture is made of is in its own file (`bert.py`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from deployments.kernels import encoder_names as names
from deployments.kernels.graph_writer import MICROSOFT, GraphWriter
from deployments.kernels.precisions import Precision

Vector = NDArray[np.float32]


class EncoderGraph:
    """Writes an encoder, part by part, in the order in which data flows."""

    def __init__(self, graph: GraphWriter, precision: Precision) -> None:
        self.precision = precision
        self._graph = graph
        self._ids = graph.input(names.IDS, TensorProto.INT32, ["batch", "sequence"])
        self._segments = graph.input(names.SEGMENTS, TensorProto.INT32, ["batch", "sequence"])
        self._lengths = graph.input(names.LENGTHS, TensorProto.INT32, ["batch"])

    def embed(
        self,
        tables: tuple[Vector, Vector, Vector],
        norm: tuple[Vector, Vector],
        epsilon: float,
        name: str,
    ) -> str:
        """The sum of word, position and segment embedding, normalised: [B, S, width]."""
        word, position, segment = (
            self.precision.vector(table, f"{name}.{part}")
            for table, part in zip(tables, ("word", "position", "segment"), strict=True)
        )
        self._graph.node(
            "EmbedLayerNormalization",
            [self._ids, self._segments, word, position, segment, *self._norm(norm, name)],
            name,
            outputs=[name, f"{name}/mask"],
            domain=MICROSOFT,
            epsilon=epsilon,
        )
        return name

    def attention(self, packed: tuple[str, str, str], bias: Vector, heads: int, name: str) -> str:
        """Queries, keys and values [B, S, width], their biases [3 width] -> [B, S, width]."""
        stored = self.precision.vector(bias, f"{name}.bias")
        return self._graph.node(
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
        return self._graph.node(
            "SkipLayerNormalization",
            [x, skip, *self._norm(norm, name), self.precision.vector(bias, f"{name}.skip_bias")],
            name,
            domain=MICROSOFT,
            epsilon=epsilon,
        )

    def bias_gelu(self, x: str, bias: Vector, name: str) -> str:
        """gelu(x + bias), exact (arXiv:1606.08415)."""
        stored = self.precision.vector(bias, f"{name}.bias")
        return self._graph.node("BiasGelu", [x, stored], name, domain=MICROSOFT)

    def mean_pooled(self, hidden: str, width: int) -> None:
        """The mean over each text's own tokens, scaled to unit length: the graph's output.

        The mean's division is left out: scaling to unit length undoes it.
        """
        graph = self._graph
        summed = graph.node("MatMul", [self._weights_of_tokens(), hidden], "pool/sum")
        flat = graph.node("Squeeze", [summed, self._integers("pool/axis", [1])], "pool/flat")
        if self.precision.element_type != TensorProto.FLOAT:
            flat = graph.node("Cast", [flat], "pool/float32", to=int(TensorProto.FLOAT))
        graph.output(names.EMBEDDINGS, TensorProto.FLOAT, ["batch", width])
        graph.node("LpNormalization", [flat], "pool/unit", outputs=[names.EMBEDDINGS], axis=-1, p=2)

    def _weights_of_tokens(self) -> str:
        """[B, 1, S]: 1 for a text's own tokens, 0 for padding."""
        graph = self._graph
        length = graph.node("Shape", [self._ids], "pool/shape", start=1, end=2)
        scalar = graph.node("Squeeze", [length], "pool/length")
        positions = graph.node(
            "Range",
            [self._integers("pool/zero", 0), scalar, self._integers("pool/one", 1)],
            "pool/positions",
        )
        lengths = graph.node("Cast", [self._lengths], "pool/lengths", to=int(TensorProto.INT64))
        column = graph.node(
            "Unsqueeze", [lengths, self._integers("pool/axes", [1, 2])], "pool/column"
        )
        inside = graph.node("Less", [positions, column], "pool/inside")
        return graph.node("Cast", [inside], "pool/mask", to=self.precision.element_type)

    def _norm(self, norm: tuple[Vector, Vector], name: str) -> tuple[str, str]:
        scale, shift = norm
        return (
            self.precision.vector(scale, f"{name}.scale"),
            self.precision.vector(shift, f"{name}.shift"),
        )

    def _integers(self, name: str, value: int | list[int]) -> str:
        return self._graph.constant(name, np.array(value, dtype=np.int64))
