"""Attention that reads prompts: keys and values come in and go out, and stay nowhere.

A run takes S new tokens of each of B rows, padded on the right; no operator here is
ONNX Runtime's own, so that any execution provider can fuse them as it knows best:

    past_lengths            int64 [B]    tokens that each row holds before
    past_key_values.L.key   [B, kv_heads, P, head_dim], padded on the right, and `.value`
    new_key_values          [caches, B, kv_heads, S, head_dim]

A cache is one layer's keys or its values, in the order of layers, keys first. What lies
in the padding does not matter, as long as it is a number. With `KvSteps` they are int8, and a
token sees itself as those after it will: rounded. Causality leaves half of the square of new
tokens and keys unseen, so tokens are read in parts, each against the keys up to its end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from deployments.kernels import decoder_names as names
from deployments.kernels.attention import ALL, AttentionShape, Rotary, Vector
from deployments.kernels.graph_writer import GraphWriter
from deployments.kernels.kv_bytes import LARGEST, KvSteps

INT64 = int(TensorProto.INT64)
PARTS = 2  # of the new tokens: each is read against no more keys than it may see
BLOCK = 32  # tokens: parts are whole blocks, as bits depend on where sums over keys are cut
UNSEEN = -1e30  # of scores: nothing is left of it after the softmax, in bfloat16 too


@dataclass(frozen=True, slots=True)
class _Part:
    """Names of integers [1]."""

    first: str  # new token
    end: str  # new token after the last one
    seen: str  # keys that the part may see: what was held, and what is new up to its end


class PromptAttention:
    """`positions`: tokens that the tables of positions cover; padding may stand behind them."""

    takes_packed = False

    def __init__(
        self,
        graph: GraphWriter,
        ids: str,
        element_type: int,
        positions: int,
        steps: KvSteps | None = None,
    ) -> None:
        self._graph = graph
        self._element_type = element_type
        self._kv_steps = steps
        self._cache_type = element_type if steps is None else int(TensorProto.INT8)
        self._lengths = graph.input(names.PAST_LENGTHS, TensorProto.INT64, ["batch"])
        self._new: list[str] = []
        self._turned: dict[Rotary, Rotary] = {}  # tables -> their rows for the new tokens
        self._masks: dict[tuple[int, int, int], str] = {}  # by window, group, part
        self._whole_masks: dict[int, str] = {}  # by window
        self._parts: dict[int, _Part] = {}
        self._shape: AttentionShape | None = None
        self._batch = graph.node("Shape", [ids], "prompt/batch", start=0, end=1)
        self._tokens = graph.node("Shape", [ids], "prompt/tokens", start=1, end=2)
        self._steps = self._range(self._tokens, "prompt/steps")  # [S]
        column = self._unsqueezed(self._lengths, [1], "prompt/lengths")  # [B, 1]
        self._column = column
        after = graph.node("Add", [column, self._steps], "prompt/after")
        # Padding may be placed behind the tables; nobody reads what is computed there.
        last = self._integers("prompt.last_position", positions - 1)
        self._places = graph.node("Min", [after, last], "prompt/places")

    def attend(
        self,
        layer: int,
        heads: tuple[str, str, str],
        shape: AttentionShape,
        rotary: Rotary | None,
        name: str,
    ) -> str:
        """See `Form`."""
        graph = self._graph
        counts = (shape.heads, shape.kv_heads, shape.kv_heads)
        queries, keys, values = (
            self._apart(x, count, shape.head_dim, f"{name}/{part}")
            for x, count, part in zip(heads, counts, ("q", "k", "v"), strict=True)
        )
        if rotary is not None:
            queries = self._turn(queries, rotary, shape.head_dim, f"{name}/q")
            keys = self._turn(keys, rotary, shape.head_dim, f"{name}/k")
        every_key, every_value = (
            self._joined(layer, part, x, shape) for part, x in enumerate((keys, values))
        )
        scale = shape.head_dim**-0.5 if shape.scale is None else shape.scale
        key_steps, value_steps = self._steps_of(layer, shape)
        factor = graph.constant(f"{name}.scale", np.float32(scale) * key_steps)
        scaled = graph.node("Mul", [queries, factor], f"{name}/scaled")
        across = graph.node("Transpose", [every_key], f"{name}/across", perm=[0, 1, 3, 2])
        parts = [
            self._part(part, scaled, across, every_value, shape, f"{name}/{part}")
            for part in range(PARTS)
        ]
        attended = graph.node("Concat", parts, f"{name}/attended", axis=2)
        if self._kv_steps is not None:
            values_of = graph.constant(f"{name}.value_steps", value_steps)
            attended = graph.node("Mul", [attended, values_of], f"{name}/restored")
        rows = graph.node("Transpose", [attended], f"{name}/rows", perm=[0, 2, 1, 3])
        flat = self._integers("prompt.flat", [0, 0, -1])
        return graph.node("Reshape", [rows, flat], name)

    def _part(
        self, part: int, queries: str, keys: str, values: str, shape: AttentionShape, name: str
    ) -> str:
        """[B, heads, tokens of the part, head_dim]. `keys` are [B, kv_heads, head_dim, P + S]."""
        graph, one = self._graph, self._bounds(part)
        start = self._integers("prompt.first", [0])
        second, third = (self._integers(f"prompt.axis.{axis}", [axis]) for axis in (2, 3))
        own = graph.node("Slice", [queries, one.first, one.end, second], f"{name}/own")
        near = graph.node("Slice", [keys, start, one.seen, third], f"{name}/keys")
        near_values = graph.node("Slice", [values, start, one.seen, second], f"{name}/values")
        # Heads that share keys and values are read as so many more tokens of one head.
        grouped = self._reshaped(own, [0, shape.kv_heads, -1, shape.head_dim], f"{name}/groups")
        scores = graph.node("MatMul", [grouped, near], f"{name}/scores")
        allowed = graph.node("Add", [scores, self._mask(shape, part)], f"{name}/seen")
        shares = graph.node("Softmax", [allowed], f"{name}/shares", axis=-1)
        mixed = graph.node("MatMul", [shares, near_values], f"{name}/mixed")
        return self._reshaped(mixed, [0, shape.heads, -1, shape.head_dim], f"{name}/attended")

    def _bounds(self, part: int) -> _Part:
        if part not in self._parts:
            graph, name = self._graph, f"prompt/part.{part}"
            several = self._integers("prompt.blocks", [BLOCK * PARTS])
            short = self._integers("prompt.blocks.short", [BLOCK * PARTS - 1])
            upwards = graph.node("Add", [self._tokens, short], f"{name}/upwards")
            blocks = graph.node("Div", [upwards, several], f"{name}/blocks")
            first, end = (
                graph.node(
                    "Mul", [blocks, self._integers(f"prompt.block.{n}", [n * BLOCK])], f"{name}/{n}"
                )
                for n in (part, part + 1)
            )
            seen = graph.node("Add", [end, self._held], f"{name}/seen")
            self._parts[part] = _Part(first, end, seen)
        return self._parts[part]

    def places(self, name: str) -> str:
        """See `Form`."""
        return self._places

    def finish(self) -> None:
        """The new keys and values of all layers as one tensor."""
        assert self._shape is not None
        first = self._integers("prompt.first", [0])
        stacked = [
            self._graph.node("Unsqueeze", [new, first], f"new.{cache}")
            for cache, new in enumerate(self._new)
        ]
        sizes: list[int | str] = [
            len(self._new),
            "batch",
            self._shape.kv_heads,
            "sequence",
            self._shape.head_dim,
        ]
        self._graph.output(names.NEW, self._cache_type, sizes)
        self._graph.node("Concat", stacked, names.NEW, axis=0)

    def _apart(self, x: str, heads: int, head_dim: int, name: str) -> str:
        """[B, S, heads * head_dim] -> [B, heads, S, head_dim]."""
        shape = self._integers(f"prompt.heads.{heads}.{head_dim}", [0, 0, heads, head_dim])
        parted = self._graph.node("Reshape", [x, shape], f"{name}/parted")
        return self._graph.node("Transpose", [parted], f"{name}/heads", perm=[0, 2, 1, 3])

    def _turn(self, x: str, rotary: Rotary, head_dim: int, name: str) -> str:
        """Each half of a head by the angles of its place (arXiv:2104.09864), written as OpenVINO
        knows it: it makes one operator of it."""
        graph = self._graph
        cosines, sines = self._turned.get(rotary) or self._of_places(rotary)
        first, second = f"{name}/first", f"{name}/second"
        halves = self._integers(f"prompt.halves.{head_dim}", [head_dim // 2] * 2)
        graph.node("Split", [x, halves], f"{name}/halves", outputs=[first, second], axis=3)
        minus_one = graph.constant("prompt.minus_one", np.array(-1, np.float32))
        minus = graph.node("Mul", [second, minus_one], f"{name}/minus")
        across = graph.node("Concat", [minus, first], f"{name}/swapped", axis=-1)
        kept = graph.node("Mul", [x, cosines], f"{name}/kept")
        moved = graph.node("Mul", [across, sines], f"{name}/moved")
        return graph.node("Add", [kept, moved], f"{name}/turned")

    def _of_places(self, rotary: Rotary) -> Rotary:
        """The tables' rows for the new tokens, for both halves: [B, 1, S, head_dim]."""
        graph = self._graph
        found = []
        for table in rotary:
            rows = graph.node("Gather", [table, self._places], f"{table}/rows", axis=0)
            both = graph.node("Concat", [rows, rows], f"{table}/both", axis=-1)
            found.append(self._unsqueezed(both, [1], f"{table}/placed"))
        cosines, sines = found
        self._turned[rotary] = cosines, sines
        return cosines, sines

    def _joined(self, layer: int, part: int, new: str, shape: AttentionShape) -> str:
        """What the rows hold, then what is new: [B, kv_heads, P + S, head_dim].

        What is new is among the graph's results from here on.
        """
        past = names.past(layer, names.PARTS[part])
        sizes: list[int | str] = ["batch", shape.kv_heads, "past", shape.head_dim]
        self._graph.input(past, self._cache_type, sizes)
        if self._shape is None:  # the first of all: the others are as long
            length = self._graph.node("Shape", [past], "prompt/past", start=2, end=3)
            self._held = length
            self._before = self._range(length, "prompt/before")  # [P]
            self._shape = shape
        if self._kv_steps is None:
            self._new.append(new)
            return self._graph.node("Concat", [past, new], f"{past}/joined", axis=2)
        step = self._graph.constant(f"{past}.step", self._kv_steps.of_layer(layer)[part])
        self._new.append(self._rounded(new, step, f"{past}/rounded"))
        both = self._graph.node("Concat", [past, self._new[-1]], f"{past}/joined", axis=2)
        return self._graph.node("Cast", [both], f"{past}/floats", to=self._element_type)

    def _steps_of(self, layer: int, shape: AttentionShape) -> tuple[Vector, Vector]:
        """Of keys and of values, [heads, 1, head_dim] where they are bytes: queries are multiplied
        by the first and results by the second, which are far fewer than keys and values."""
        if self._kv_steps is None:
            one = np.ones((), np.float32)
            return one, one
        group = shape.heads // shape.kv_heads
        keys, values = self._kv_steps.of_layer(layer)
        return np.repeat(keys, group, axis=0), np.repeat(values, group, axis=0)

    def _rounded(self, x: str, step: str, name: str) -> str:
        """As bytes."""
        graph = self._graph
        steps = graph.node("Round", [graph.node("Div", [x, step], f"{name}/div")], f"{name}/round")
        bounds = [
            graph.constant(f"prompt.{limit}", np.array(limit, np.float32))
            for limit in (-LARGEST, LARGEST)
        ]
        cut = graph.node("Clip", [steps, *bounds], f"{name}/cut")
        return graph.node("Cast", [cut], name, to=int(TensorProto.INT8))

    def _reshaped(self, x: str, sizes: list[int], name: str) -> str:
        target = self._integers("prompt.sizes." + ".".join(map(str, sizes)), sizes)
        return self._graph.node("Reshape", [x, target], name)

    def _mask(self, shape: AttentionShape, part: int) -> str:
        """[B, 1, group * tokens of the part, keys that it may see]: 0 where a new token sees,
        `UNSEEN` where it does not."""
        key = shape.window, shape.heads // shape.kv_heads, part
        if key not in self._masks:
            self._masks[key] = self._mask_of_part(*key)
        return self._masks[key]

    def _mask_of_part(self, window: int, group: int, part: int) -> str:
        graph, one, name = self._graph, self._bounds(part), f"prompt/mask.{window}.{part}"
        if window not in self._whole_masks:
            self._whole_masks[window] = self._written_mask(window, f"prompt/mask.{window}")
        axes, start = self._integers("prompt.axes.2.3", [2, 3]), self._integers("prompt.first", [0])
        starts = graph.node("Concat", [one.first, start], f"{name}.{group}/starts", axis=0)
        ends = graph.node("Concat", [one.end, one.seen], f"{name}.{group}/ends", axis=0)
        cut = [self._whole_masks[window], starts, ends, axes]
        once = graph.node("Slice", cut, f"{name}.{group}/once")
        if group == 1:
            return once
        return graph.node("Concat", [once] * group, f"{name}.{group}", axis=2)

    def _written_mask(self, window: int, name: str) -> str:
        """For all new tokens and all keys: [B, 1, S, P + S]."""
        graph = self._graph
        step = self._unsqueezed(self._steps, [1], f"{name}/step")  # [S, 1]
        own = graph.node("LessOrEqual", [self._steps, step], f"{name}/own")  # [S, S]
        held = graph.node("Less", [self._before, self._column], f"{name}/held")  # [B, P]
        held = self._unsqueezed(held, [1, 2], f"{name}/held_rows")  # [B, 1, 1, P]
        if window != ALL:
            width = self._integers(f"{name}.window", window)
            own = graph.node("And", [own, self._near(step, self._steps, width, f"{name}/own")],
                             f"{name}/own_near")  # fmt: skip
            place = self._unsqueezed(
                graph.node("Add", [self._column, self._steps], f"{name}/place"), [1, 3],
                f"{name}/place_column",
            )  # fmt: skip
            held = graph.node("And", [held, self._near(place, self._before, width, f"{name}/held")],
                              f"{name}/held_near")  # fmt: skip
        one = self._integers("prompt.one_row", [1])
        size = graph.node("Concat", [self._batch, one, self._tokens, one], f"{name}/size", axis=0)
        each_held = graph.node("Expand", [held, size], f"{name}/each_held")  # [B, 1, S, P]
        each_own = graph.node("Expand", [own, size], f"{name}/each_own")  # [B, 1, S, S]
        seen = graph.node("Concat", [each_held, each_own], f"{name}/seen", axis=-1)
        zero = graph.constant("prompt.zero", np.array(0, np.float32))
        unseen = graph.constant("prompt.unseen", np.array(UNSEEN, np.float32))
        return graph.node("Where", [seen, zero, unseen], name)

    def _near(self, query: str, key: str, width: str, name: str) -> str:
        """Whether a key is fewer than `width` positions before a query."""
        back = self._graph.node("Sub", [query, key], f"{name}/back")
        return self._graph.node("Less", [back, width], f"{name}/near")

    def _range(self, count: str, name: str) -> str:
        """0, 1 ... of a count [1]."""
        stop = self._graph.node("Squeeze", [count], f"{name}/stop")
        zero, one = (self._integers(f"prompt.{value}", value) for value in (0, 1))
        return self._graph.node("Range", [zero, stop, one], name)

    def _unsqueezed(self, x: str, axes: list[int], name: str) -> str:
        stored = self._integers("prompt.axes." + ".".join(map(str, axes)), axes)
        return self._graph.node("Unsqueeze", [x, stored], name)

    def _integers(self, name: str, value: int | list[int]) -> str:
        return self._graph.constant(name, np.array(value, np.int64))
