"""An encoder graph that can be looked into: attention without its fused operator.

The slow twin of `EncoderGraph`, and its reference: the weights that the fused operator keeps
to itself are outputs here.
"""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto

from deployments.kernels.encoder_graph import EncoderGraph, Vector
from deployments.kernels.encoder_names import attention_output

FAR_BELOW = -1e9  # added to scores of padding, whose softmax is then nothing


class OpenEncoderGraph(EncoderGraph):
    """Gives `attention.0`, `attention.1` ... float32 [B, heads, S, S], a layer each."""

    _layers = 0
    _masked: str | None = None

    def attention(self, packed: tuple[str, str, str], bias: Vector, heads: int, name: str) -> str:
        graph = self.graph
        width = len(bias) // 3
        queries, keys, values = (
            self._split(x, part, heads, turn, f"{name}/{kind}")
            for x, part, turn, kind in zip(
                packed,
                np.split(bias, 3),
                ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]),
                ("query", "key", "value"),
                strict=True,
            )
        )
        scale = np.array(1 / math.sqrt(width // heads), np.float32)
        products = graph.node("MatMul", [queries, keys], f"{name}/products")
        scaled = graph.node(
            "Mul", [products, graph.constant(f"{name}.scale", scale)], f"{name}/mul"
        )
        scores = graph.node("Add", [scaled, self._padding()], f"{name}/scores")
        output = attention_output(self._layers)
        self._layers += 1
        graph.output(output, TensorProto.FLOAT, ["batch", heads, "sequence", "sequence"])
        graph.node("Softmax", [scores], f"{name}/softmax", outputs=[output], axis=-1)
        mixed = graph.node("MatMul", [output, values], f"{name}/mixed")
        turned = graph.node("Transpose", [mixed], f"{name}/turned", perm=[0, 2, 1, 3])
        shape = self.integers("attention/joined", [0, 0, width])
        return graph.node("Reshape", [turned, shape], name)

    def _split(self, x: str, bias: Vector, heads: int, turn: list[int], name: str) -> str:
        """[B, S, width] -> [B, heads, S, part], its axes in the order of `turn`."""
        graph = self.graph
        shifted = graph.node("Add", [x, self.precision.vector(bias, f"{name}.bias")], f"{name}/add")
        shape = self.integers("attention/split", [0, 0, heads, len(bias) // heads])
        split = graph.node("Reshape", [shifted, shape], f"{name}/split")
        return graph.node("Transpose", [split], f"{name}/turned", perm=turn)

    def _padding(self) -> str:
        """[B, 1, 1, S]: nothing for a text's own tokens, FAR_BELOW for padding."""
        if self._masked is None:
            graph = self.graph
            axis = self.integers("padding/axis", [1])
            own = graph.node("Unsqueeze", [self.own_tokens(), axis], "padding/own")
            one = graph.constant("padding/one", np.array(1, np.float32))
            behind = graph.node("Sub", [one, own], "padding/behind")
            low = graph.constant("padding/low", np.array(FAR_BELOW, np.float32))
            self._masked = graph.node("Mul", [behind, low], "padding")
        return self._masked
