"""Activations as bytes, a row at a time: what the products of `rows.py` read.

A scale for a whole row is coarse: a few channels of a language model are hundreds of
times larger than the rest, which are then rounded to nothing. `TwoBytes` therefore
writes each activation twice, rounded and what rounding left; both go through one
product as two rows, so that weights are read once. `OneByte` is the first alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np

from deployments.kernels.graph_writer import GraphWriter
from deployments.kernels.precisions.precision import Vector

STEPS = 127  # of a byte, on either side of zero
ZERO = 128  # the byte that means zero
REST_STEPS = 254  # what rounding leaves is within half a step: as many steps of a byte
NORM_EPSILON = 1e-12  # of squares: a row of zeros stays zero


class Bytes(NamedTuple):
    """Activations as unsigned bytes around 128."""

    data: str  # uint8 [..., in], or [..., 2, in] for two terms
    step: str  # float32 []: what one step of `data` is
    restore: str  # float32 [..., 1] or [..., 1, 2]: what a product of them is multiplied by


class ActivationBytes(Protocol):
    def write(self, x: str, width: int, name: str, scales: Vector | None = None) -> Bytes:
        """x [..., width], divided by `scales` [width], as bytes.

        `name` is the first part of every node's; no scale is under 1.
        """
        ...

    def restored(self, product: str, restore: str, name: str, output: str) -> str:
        """The product of `Bytes.data` with a matrix -> `output` [..., out]."""
        ...


class TwoBytes:
    """16 bits: a row is divided by its root mean square, after which no element is over
    sqrt(width). So the steps are fixed, and nothing is ever cut off. Scales divide after that,
    which costs nothing."""

    def __init__(self, graph: GraphWriter) -> None:
        self._graph = graph

    def write(self, x: str, width: int, name: str, scales: Vector | None = None) -> Bytes:
        graph = self._graph
        if scales is None:
            factors = graph.constant(f"bytes.ones.{width}", np.ones(width, np.float32))
        else:
            factors = graph.constant(f"{name}.factors", 1 / scales)
        step = math.sqrt(width) / STEPS
        coarse = number(graph, f"bytes.step.{width}", step)
        fine = number(graph, f"bytes.fine_step.{width}", step / REST_STEPS)
        column = graph.node("Unsqueeze", [x, self._axis()], f"{name}/column")  # [..., 1, width]
        normed, inverse = f"{name}/normed", f"{name}/inverse"
        graph.node(
            "SimplifiedLayerNormalization",
            [column, factors],
            normed,
            outputs=[normed, inverse],
            axis=-1,
            epsilon=NORM_EPSILON,
        )
        first = graph.node("QuantizeLinear", [normed, coarse, zero(graph)], f"{name}/first")
        kept = graph.node("DequantizeLinear", [first, coarse, zero(graph)], f"{name}/kept")
        rest = graph.node("Sub", [normed, kept], f"{name}/rest")
        second = graph.node("QuantizeLinear", [rest, fine, zero(graph)], f"{name}/second")
        both = graph.node("Concat", [first, second], f"{name}/both", axis=-2)
        parts = graph.constant("bytes.parts", np.array([[1, 1 / REST_STEPS]], np.float32))
        return Bytes(both, coarse, graph.node("Div", [parts, inverse], f"{name}/restore"))

    def restored(self, product: str, restore: str, name: str, output: str) -> str:
        # [..., 1, 2] x [..., 2, out]: adds the terms and undoes the division in one pass.
        summed = self._graph.node("MatMul", [restore, product], f"{name}/sum")
        return self._graph.node("Squeeze", [summed, self._axis()], output)

    def _axis(self) -> str:
        return self._graph.constant("bytes.axis", np.array([-2], np.int64))


class OneByte:
    """8 bits: the largest element of a row is 127 steps. Lossy."""

    def __init__(self, graph: GraphWriter) -> None:
        self._graph = graph

    def write(self, x: str, width: int, name: str, scales: Vector | None = None) -> Bytes:
        graph = self._graph
        if scales is not None:
            factors = graph.constant(f"{name}.factors", 1 / scales)
            x = graph.node("Mul", [x, factors], f"{name}/smooth")
        axis = graph.constant("bytes.last_axis", np.array([-1], np.int64))
        sizes = graph.node("Abs", [x], f"{name}/sizes")
        largest = graph.node("ReduceMax", [sizes, axis], f"{name}/largest", keepdims=1)
        # A row of zeros gives 0 / 0: whatever byte that is, it is multiplied by zero again.
        part = number(graph, "bytes.part", 1 / STEPS)
        step = graph.node("Mul", [largest, part], f"{name}/step")
        scaled = graph.node("Div", [x, step], f"{name}/scaled")
        one = number(graph, "bytes.one", 1)
        data = graph.node("QuantizeLinear", [scaled, one, zero(graph)], f"{name}/data")
        return Bytes(data, one, step)

    def restored(self, product: str, restore: str, name: str, output: str) -> str:
        return self._graph.node("Mul", [product, restore], output)


def zero(graph: GraphWriter) -> str:
    """The byte that means zero, as a constant."""
    return graph.constant("bytes.zero", np.array(ZERO, np.uint8))


def number(graph: GraphWriter, name: str, value: float) -> str:
    return graph.constant(name, np.array(value, np.float32))
