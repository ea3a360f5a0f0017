"""Attention over the rows of a KV pool, in place: made for continuous batching.

A run takes S new tokens of each of B rows, S > 1 only with B = 1:

    seqlens_k                  int32 [B]      row's KV length after this run, minus 1
    total_sequence_length      int32 []       the longest row's KV length after this run
    past_key_values.L.key      [B, kv_heads, max_length, head_dim], and `.value`
    present.L.key              the same buffer as past_key_values.L.key

Keys and values are in the graph's element type, or int8 where there are `KvSteps`.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md, GroupQueryAttention
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from deployments.kernels import decoder_names as names
from deployments.kernels.attention import AttentionShape, Rotary
from deployments.kernels.graph_writer import MICROSOFT, Attribute, GraphWriter
from deployments.kernels.kv_bytes import KvSteps

INPUTS_BETWEEN = 3  # position_ids, attention_bias, head_sink: before the steps


class PoolAttention:
    """One GroupQueryAttention a layer; its CPU kernel refuses norms of heads inside it."""

    takes_packed = True

    def __init__(
        self, graph: GraphWriter, ids: str, element_type: int, steps: KvSteps | None = None
    ) -> None:
        self._graph = graph
        self._ids = ids
        self._kv_steps = steps
        self._cache_type = element_type if steps is None else int(TensorProto.INT8)
        self._lengths = graph.input(names.LENGTHS, TensorProto.INT32, ["batch"])
        self._longest = graph.input(names.LONGEST, TensorProto.INT32, [])

    def attend(
        self,
        layer: int,
        heads: tuple[str, str, str],
        shape: AttentionShape,
        rotary: Rotary | None,
        name: str,
    ) -> str:
        """See `Form`."""
        past = [self._cache("input", names.past(layer, part), shape) for part in names.PARTS]
        present = [self._cache("output", names.present(layer, part), shape) for part in names.PARTS]
        scale: dict[str, Attribute] = {} if shape.scale is None else {"scale": shape.scale}
        steps, as_bytes = self._bytes(layer, name)
        if steps and rotary is None:
            steps = ["", "", *steps]
        return self._graph.node(
            "GroupQueryAttention",
            [*heads, *past, self._lengths, self._longest, *(rotary or ()), *steps],
            name,
            outputs=[name, *present],
            domain=MICROSOFT,
            num_heads=shape.heads,
            kv_num_heads=shape.kv_heads,
            local_window_size=shape.window,
            do_rotary=int(rotary is not None),
            rotary_interleaved=0,
            **scale,
            **as_bytes,
        )

    def places(self, name: str) -> str:
        """See `Form`."""
        graph = self._graph
        one = self._integers(f"{name}.one", 1)
        count = graph.node("Shape", [self._ids], f"{name}/shape", start=1, end=2)
        tokens = graph.node("Squeeze", [count], f"{name}/tokens")
        # 1 - S ... 0: how far each new token is from the row's last, which is at `seqlens_k`.
        first = graph.node("Sub", [one, tokens], f"{name}/first")
        steps = graph.node("Range", [first, one, one], f"{name}/steps")
        last = graph.node("Cast", [self._lengths], f"{name}/last", to=int(TensorProto.INT64))
        axis = self._integers(f"{name}.axis", [1])
        column = graph.node("Unsqueeze", [last, axis], f"{name}/column")
        return graph.node("Add", [column, steps], f"{name}/places")

    def finish(self) -> None:
        """Every layer has written its own."""

    def _bytes(self, layer: int, name: str) -> tuple[list[str], dict[str, Attribute]]:
        """The operator's last inputs, and its attributes, where keys and values are bytes."""
        if self._kv_steps is None:
            return [], {}
        pair = zip(names.PARTS, self._kv_steps.of_layer(layer), strict=True)
        steps = [self._graph.constant(f"{name}.{part}_steps", step) for part, step in pair]
        each = "PER_CHANNEL"
        attributes: dict[str, Attribute] = {
            "k_quant_type": each,
            "v_quant_type": each,
            "kv_cache_bit_width": 8,
        }
        return [*[""] * INPUTS_BETWEEN, *steps], attributes

    def _cache(self, direction: str, name: str, shape: AttentionShape) -> str:
        declare = self._graph.input if direction == "input" else self._graph.output
        return declare(
            name, self._cache_type, ["batch", shape.kv_heads, "max_length", shape.head_dim]
        )

    def _integers(self, name: str, value: int | list[int]) -> str:
        return self._graph.constant(name, np.array(value, np.int64))
