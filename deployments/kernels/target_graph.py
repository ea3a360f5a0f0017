"""The parts that the decoder graph of every encoder-decoder shares.

The graph is made for continuous batching with beams. A run takes the next token of W beams
of each of G texts; beam w of text g is row g * W + w, and each row has its own length:

    input_ids               int64 [G, W]
    seqlens_k               int32 [G * W]   row's tokens before this one
    total_sequence_length   int32 []        the longest row's tokens, this one included
    source_lengths          int32 [G]       what is behind them in `cross.*` is padding
    cross.*                 of each text, as the encoder gave it: beams share it
    past.*, present.*       of each row, in the same buffer
    logits                  float32 [G * W, vocabulary]
    attention               float32 [G, W, S]  over the source, where the model has one

What an architecture is made of is in its own file (`t5.py`, `bart.py`, `recurrent.py`).
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from deployments.kernels import seq2seq_names as names
from deployments.kernels.graph_writer import MICROSOFT, GraphWriter
from deployments.kernels.precisions import Precision
from deployments.kernels.seq2seq_layers import Seq2SeqLayers, Vector
from deployments.kernels.source_graph import INT64, HeadsShape

FLOAT = int(TensorProto.FLOAT)


class TargetGraph(Seq2SeqLayers):
    """Writes a decoder, part by part, in the order in which data flows."""

    def __init__(self, graph: GraphWriter, precision: Precision) -> None:
        super().__init__(graph, precision)
        self.ids = graph.input(names.IDS, TensorProto.INT64, ["texts", "beams"])
        self.groups = graph.node("Shape", [self.ids], "groups")  # G and W, int64 [2]
        self._lengths = ""
        self._longest = ""
        self._source_lengths = ""

    def lengths(self) -> str:
        """Declared only where a model needs them: a recurrent one does not."""
        if not self._lengths:
            self._lengths = self.graph.input(names.LENGTHS, TensorProto.INT32, ["rows"])
            self._longest = self.graph.input(names.LONGEST, TensorProto.INT32, [])
        return self._lengths

    def source_lengths(self) -> str:
        """As `lengths`."""
        if not self._source_lengths:
            self._source_lengths = self.graph.input(
                names.SOURCE_LENGTHS, TensorProto.INT32, ["texts"]
            )
        return self._source_lengths

    def grouped(self, x: str, width: int, name: str) -> str:
        """[G * W, 1, width] or [G * W, width] -> [G, W, width]."""
        sizes = self.integers(f"size.{width}", [width])
        shape = self.graph.node("Concat", [self.groups, sizes], f"{name}/shape", axis=0)
        return self.graph.node("Reshape", [x, shape], f"{name}/grouped")

    def positions(self, table: Vector, name: str) -> str:
        """Each row's own row of a table [positions, width]: [G, W, width]."""
        stored = self.precision.vector(table, f"{name}.weight")
        found = self.graph.node("Gather", [stored, self.lengths()], f"{name}/Gather", axis=0)
        return self.grouped(found, table.shape[1], name)

    def relative_bias(self, table: Vector, name: str) -> str:
        """table [reach + 1, heads], by how far a key lies back -> [G * W, heads, 1, total]."""
        graph = self.graph
        rows = graph.node("Cast", [self.lengths()], f"{name}/rows", to=INT64)
        column = graph.node("Unsqueeze", [rows, self.integers("axis.1", [1])], f"{name}/column")
        total = graph.node("Cast", [self._longest], f"{name}/total", to=INT64)
        zero, one = self.integers("zero", 0), self.integers("one", 1)
        places = graph.node("Range", [zero, total, one], f"{name}/places")
        back = graph.node("Sub", [column, places], f"{name}/back")
        reach = self.integers(f"{name}.reach", len(table) - 1)
        near = graph.node("Clip", [back, zero, reach], f"{name}/near")
        stored = self.precision.vector(table, f"{name}.by_distance")
        found = graph.node("Gather", [stored, near], f"{name}/Gather", axis=0)
        turned = graph.node("Transpose", [found], f"{name}/turned", perm=[0, 2, 1])
        return graph.node("Unsqueeze", [turned, self.integers("axis.2", [2])], name)

    def self_attention(self, layer: int, packed: str, shape: HeadsShape, bias: str = "") -> str:
        """packed [G, W, 3 * heads * head_dim] -> [G, W, heads * head_dim].

        `bias` [G * W, heads, 1, total] is added to the scores.
        """
        name = f"layers.{layer}/attention"
        by_row = self.integers(f"rows.{shape.width}", [-1, 1, 3 * shape.width])
        rows = self.graph.node("Reshape", [packed, by_row], f"{name}/rows")
        lengths = self.lengths()
        caches = [f"{layer}.{part}" for part in ("key", "value")]
        past = [self._cache("input", names.past(cache), shape) for cache in caches]
        present = [self._cache("output", names.present(cache), shape) for cache in caches]
        optional = ["", "", "", bias] if bias else []  # tables of positions and their ids
        self.graph.node(
            "GroupQueryAttention",
            [rows, "", "", *past, lengths, self._longest, *optional],
            name,
            outputs=[name, *present],
            domain=MICROSOFT,
            num_heads=shape.heads,
            kv_num_heads=shape.heads,
            scale=shape.factor,
        )
        return self.grouped(name, shape.width, name)

    def cross_attention(self, layer: int, queries: str, shape: HeadsShape) -> str:
        """queries [G, W, heads * head_dim] -> the same shape. W beams are one text's queries."""
        keys, values = self._cross_heads(layer, shape)
        return self.graph.node(
            "MultiHeadAttention",
            [queries, keys, values, "", self.source_lengths()],
            f"layers.{layer}/cross",
            domain=MICROSOFT,
            num_heads=shape.heads,
            scale=shape.factor,
        )

    def shown_cross_attention(self, layer: int, queries: str, shape: HeadsShape) -> str:
        """As `cross_attention`; the mean of its heads' weights becomes the graph's output."""
        graph, name = self.graph, f"layers.{layer}/cross"
        keys, values = self._cross_heads(layer, shape)
        parted = self.integers("heads.shape", [0, 0, shape.heads, shape.head_dim])
        heads = graph.node("Reshape", [queries, parted], f"{name}/heads")
        turned = graph.node("Transpose", [heads], f"{name}/turned", perm=[0, 2, 1, 3])
        scores = graph.node(
            "FusedMatMul",
            [turned, keys],
            f"{name}/scores",
            domain=MICROSOFT,
            transB=1,
            alpha=shape.factor,
        )
        weights = self.softmax_inside(scores, keys, 2, [1, 2], name)
        found = graph.node("MatMul", [weights, values], f"{name}/found")
        back = graph.node("Transpose", [found], f"{name}/back", perm=[0, 2, 1, 3])
        mean = graph.node(
            "ReduceMean", [weights, self.integers("axis.1", [1])], f"{name}/mean", keepdims=0
        )
        self.show(mean)
        return graph.node("Reshape", [back, self.integers("heads.flat", [0, 0, -1])], name)

    def softmax_inside(
        self, scores: str, source: str, axis: int, spread: list[int], name: str
    ) -> str:
        """Softmax over the last axis, the source's: what is padding gets nothing.

        `source` has the source's length at `axis`; `spread`: the axes of `scores` that are
        neither texts nor source.
        """
        graph = self.graph
        shape = graph.node("Shape", [source], f"{name}/length", start=axis, end=axis + 1)
        tokens = graph.node("Squeeze", [shape], f"{name}/tokens")
        inside = self.inside(self.source_lengths(), tokens)
        axes = self.integers(f"axes.{spread}", spread)
        spread_out = graph.node("Unsqueeze", [inside, axes], f"{name}/inside")
        lowest = self.precision.vector(
            np.array(-1e4 if self._is_half else -1e30, np.float32), "low"
        )
        masked = graph.node("Where", [spread_out, scores, lowest], f"{name}/masked")
        return graph.node("Softmax", [masked], f"{name}/weights", axis=-1)

    def show(self, weights: str) -> None:
        """[G, W, S] becomes the graph's attention."""
        self.graph.output(names.ATTENTION, FLOAT, ["texts", "beams", names.SOURCE_AXIS])
        self.graph.node("Cast", [weights], names.ATTENTION, to=FLOAT)

    def cross(self, axes: list[int | str], name: str) -> str:
        """An input of these axes that the encoder gives."""
        return self.graph.input(names.cross(name), self.precision.element_type, axes)

    def state(self, width: int, name: str) -> str:
        """A row's state before this token, [rows, width]; `next_state` gives the one after."""
        return self.graph.input(names.past(name), self.precision.element_type, ["rows", width])

    def next_state(self, x: str, width: int, name: str) -> None:
        """x [G, W, width] is the row's state after this token."""
        target = names.present(name)
        self.graph.output(target, self.precision.element_type, ["rows", width])
        flat = self.integers(f"flat.{width}", [-1, width])
        self.graph.node("Reshape", [x, flat], target)

    def head(self, x: str, weight: Vector, bias: Vector | None, name: str) -> None:
        """x [G, W, width] and weight [vocabulary, width] -> the graph's logits."""
        flat = self.integers("head.flat", [-1, weight.shape[1]])
        rows = self.graph.node("Reshape", [x, flat], "head/rows")
        self.graph.output(names.LOGITS, FLOAT, ["rows", weight.shape[0]])
        if bias is None or not bias.any():
            self.precision.head(rows, weight, name, names.LOGITS)
            return
        self.precision.head(rows, weight, name, "head/scores")
        stored = self.graph.constant("head.bias", bias.astype(np.float32))
        self.graph.node("Add", ["head/scores", stored], names.LOGITS)

    @property
    def _is_half(self) -> bool:
        return self.precision.element_type != FLOAT

    def _cross_heads(self, layer: int, shape: HeadsShape) -> tuple[str, str]:
        axes: list[int | str] = ["texts", shape.heads, names.SOURCE_AXIS, shape.head_dim]
        return self.cross(axes, f"{layer}.key"), self.cross(axes, f"{layer}.value")

    def _cache(self, direction: str, name: str, shape: HeadsShape) -> str:
        declare = self.graph.input if direction == "input" else self.graph.output
        axes: list[int | str] = ["rows", shape.heads, names.MAX_LENGTH_AXIS, shape.head_dim]
        return declare(name, self.precision.element_type, axes)
