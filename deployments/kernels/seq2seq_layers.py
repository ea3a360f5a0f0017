"""Norms, activations and residuals that the graphs of an encoder and of its decoder share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import KernelError
from deployments.kernels.graph_writer import MICROSOFT, GraphWriter
from deployments.kernels.precisions import Precision

Vector = NDArray[np.float32]
Norm = tuple[Vector, Vector]  # scale and shift


class Seq2SeqLayers:
    """Writes operators over [..., width]; knows neither texts nor attention."""

    def __init__(self, graph: GraphWriter, precision: Precision) -> None:
        self.graph = graph
        self.precision = precision

    def linear(self, x: str, weight: Vector, bias: Vector | None, name: str) -> str:
        return self.precision.linear(x, weight, bias, name)

    def rms_norm(self, x: str, weight: Vector, epsilon: float, name: str) -> str:
        """arXiv:1910.07467."""
        stored = self.precision.vector(weight, f"{name}.weight")
        return self.graph.node(
            "SimplifiedLayerNormalization", [x, stored], name, axis=-1, epsilon=epsilon
        )

    def skip_rms_norm(
        self, x: str, skip: str, weight: Vector, epsilon: float, name: str
    ) -> tuple[str, str]:
        """The norm of x + skip, and x + skip itself."""
        residual = f"{name}/residual"
        stored = self.precision.vector(weight, f"{name}.weight")
        self.graph.node(
            "SkipSimplifiedLayerNormalization",
            [x, skip, stored],
            name,
            outputs=[name, "", "", residual],
            domain=MICROSOFT,
            epsilon=epsilon,
        )
        return name, residual

    def layer_norm(self, x: str, norm: Norm, epsilon: float, name: str) -> str:
        """arXiv:1607.06450."""
        return self.graph.node(
            "LayerNormalization", [x, *self._affine(norm, name)], name, axis=-1, epsilon=epsilon
        )

    def skip_layer_norm(self, x: str, skip: str, norm: Norm, epsilon: float, name: str) -> str:
        """The norm of x + skip."""
        return self.graph.node(
            "SkipLayerNormalization",
            [x, skip, *self._affine(norm, name)],
            name,
            domain=MICROSOFT,
            epsilon=epsilon,
        )

    def activation(self, function: str, x: str, name: str) -> str:
        """`function` as transformers names it. Raises KernelError for an unknown one."""
        if function not in ACTIVATIONS:
            raise KernelError(f"no activation {function!r}; known: {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[function](self.graph, x, f"{name}/{function}")

    def gate(self, opened: str, up: str, name: str) -> str:
        """GLU, arXiv:2002.05202."""
        return self.graph.node("Mul", [opened, up], f"{name}/gate")

    def add(self, x: str, y: str, name: str) -> str:
        return self.graph.node("Add", [x, y], name)

    def scaled(self, x: str, factor: float, name: str) -> str:
        if factor == 1:
            return x
        stored = self.precision.vector(np.array(factor, np.float32), f"{name}.factor")
        return self.graph.node("Mul", [x, stored], name)

    def integers(self, name: str, value: int | list[int]) -> str:
        return self.graph.constant(name, np.array(value, np.int64))

    def inside(self, lengths: str, tokens: str) -> str:
        """bool [N, S]: which of S (`tokens`, int64 []) places are within each of N lengths."""
        zero, one = self.integers("zero", 0), self.integers("one", 1)
        places = self.graph.node("Range", [zero, tokens, one], "inside/places")
        whole = self.graph.node("Cast", [lengths], "inside/lengths", to=7)  # int64
        column = self.graph.node("Unsqueeze", [whole, self.integers("axis.1", [1])], "inside/rows")
        return self.graph.node("Less", [places, column], "inside")

    def _affine(self, norm: Norm, name: str) -> tuple[str, str]:
        scale, shift = norm
        return (
            self.precision.vector(scale, f"{name}.weight"),
            self.precision.vector(shift, f"{name}.bias"),
        )


def _relu(graph: GraphWriter, x: str, name: str) -> str:
    return graph.node("Relu", [x], name)


def _gelu(graph: GraphWriter, x: str, name: str) -> str:
    """Exact, arXiv:1606.08415."""
    return graph.node("Gelu", [x], name, domain=MICROSOFT)


def _gelu_by_tanh(graph: GraphWriter, x: str, name: str) -> str:
    return graph.node("FastGelu", [x], name, domain=MICROSOFT)


def _silu(graph: GraphWriter, x: str, name: str) -> str:
    return graph.node("QuickGelu", [x], name, domain=MICROSOFT, alpha=1.0)


def _tanh(graph: GraphWriter, x: str, name: str) -> str:
    return graph.node("Tanh", [x], name)


ACTIVATIONS: Mapping[str, Callable[[GraphWriter, str, str], str]] = {
    "relu": _relu,
    "gelu": _gelu,
    "gelu_new": _gelu_by_tanh,
    "gelu_pytorch_tanh": _gelu_by_tanh,
    "silu": _silu,
    "swish": _silu,
    "tanh": _tanh,
}
