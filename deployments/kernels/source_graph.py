"""The parts that the encoder graph of every encoder-decoder shares.

A run takes N texts, padded on the right to S tokens:

    input_ids        int64 [N, S]
    source_lengths   int32 [N]     tokens of each text; what is behind them is padding
    cross.*          what the decoder needs of each text, once for all its steps

What an architecture is made of is in its own file (`t5.py`, `bart.py`, `recurrent.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from deployments.kernels import seq2seq_names as names
from deployments.kernels.graph_writer import MICROSOFT, GraphWriter
from deployments.kernels.precisions import Precision
from deployments.kernels.seq2seq_layers import Seq2SeqLayers, Vector

INT64 = int(TensorProto.INT64)


@dataclass(frozen=True, slots=True)
class HeadsShape:
    """Multi-head attention, arXiv:1706.03762."""

    heads: int
    head_dim: int
    scale: float | None = None  # of the scores; None: 1 / sqrt(head_dim)

    @property
    def width(self) -> int:
        return self.heads * self.head_dim

    @property
    def factor(self) -> float:
        return float(self.head_dim**-0.5) if self.scale is None else self.scale


class SourceGraph(Seq2SeqLayers):
    """Writes an encoder, part by part, in the order in which data flows."""

    def __init__(self, graph: GraphWriter, precision: Precision) -> None:
        super().__init__(graph, precision)
        self.ids = graph.input(names.IDS, TensorProto.INT64, ["texts", names.SOURCE_AXIS])
        self.lengths = graph.input(names.SOURCE_LENGTHS, TensorProto.INT32, ["texts"])
        count = graph.node("Shape", [self.ids], "tokens/shape", start=1, end=2)
        self.tokens = graph.node("Squeeze", [count], "tokens")  # S, int64 []

    def places(self) -> str:
        """0 ... S - 1, int64 [S]."""
        zero, one = self.integers("zero", 0), self.integers("one", 1)
        return self.graph.node("Range", [zero, self.tokens, one], "places")

    def positions(self, table: Vector, name: str) -> str:
        """The first S rows of a table [positions, width]: [S, width]."""
        stored = self.precision.vector(table, f"{name}.weight")
        return self.graph.node("Gather", [stored, self.places()], f"{name}/Gather", axis=0)

    def relative_bias(self, table: Vector, name: str) -> str:
        """table [2 * reach + 1, heads], by key's place minus query's place, -reach first.

        Gives [1, heads, S, S]; farther away than `reach` is as far as `reach`.
        """
        reach = len(table) // 2
        places = self.places()
        rows = self.graph.node("Unsqueeze", [places, self.integers("axis.1", [1])], f"{name}/rows")
        away = self.graph.node("Sub", [places, rows], f"{name}/away")
        near = self.graph.node(
            "Clip",
            [away, self.integers(f"{name}.low", -reach), self.integers(f"{name}.high", reach)],
            f"{name}/near",
        )
        index = self.graph.node("Add", [near, self.integers(f"{name}.high", reach)], f"{name}/at")
        stored = self.precision.vector(table, f"{name}.by_distance")
        found = self.graph.node("Gather", [stored, index], f"{name}/Gather", axis=0)
        turned = self.graph.node("Transpose", [found], f"{name}/turned", perm=[2, 0, 1])
        return self.graph.node("Unsqueeze", [turned, self.integers("axis.0", [0])], name)

    def attention(
        self, packed: tuple[str, str, str], shape: HeadsShape, name: str, bias: str = ""
    ) -> str:
        """Queries, keys and values [N, S, heads * head_dim] -> the same shape.

        `bias` [1, heads, S, S] is added to the scores.
        """
        return self.graph.node(
            "MultiHeadAttention",
            [*packed, "", self.lengths, bias],
            name,
            domain=MICROSOFT,
            num_heads=shape.heads,
            scale=shape.factor,
        )

    def cross_heads(self, x: str, shape: HeadsShape, name: str) -> None:
        """Keys or values [N, S, heads * head_dim] -> an output [N, heads, S, head_dim]."""
        target = names.cross(name)
        parted = self.integers("heads.shape", [0, 0, shape.heads, shape.head_dim])
        heads = self.graph.node("Reshape", [x, parted], f"{target}/heads")
        axes: list[int | str] = ["texts", shape.heads, names.SOURCE_AXIS, shape.head_dim]
        self.graph.output(target, self.precision.element_type, axes)
        self.graph.node("Transpose", [heads], target, perm=[0, 2, 1, 3])

    def cross(self, x: str, axes: list[int | str], name: str) -> None:
        """x becomes an output of these axes."""
        target = names.cross(name)
        self.graph.output(target, self.precision.element_type, axes)
        self.graph.node("Identity", [x], target)

    def first_state(self, x: str, width: int, name: str) -> None:
        """x [N, width] is what each text's rows start with: `TargetGraph.state` of that name."""
        target = names.past(name)
        self.graph.output(target, self.precision.element_type, ["texts", width])
        self.graph.node("Identity", [x], target)


def sinusoids(positions: int, width: int) -> Vector:
    """Marian's positions, [positions, width]: all sines, then all cosines (arXiv:1706.03762)."""
    rates = 10000.0 ** (-2 * np.arange((width + 1) // 2) / width)
    angles = np.arange(positions)[:, np.newaxis] * rates
    table = np.concatenate([np.sin(angles), np.cos(angles[:, : width // 2])], axis=1)
    return table.astype(np.float32)
