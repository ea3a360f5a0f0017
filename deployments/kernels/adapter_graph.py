"""Writes low-rank additions (LoRA, arXiv:2106.09685), another one for each row of a batch.

    adapter_index              int64 [B]      the row's slot; slot 0 adds nothing
    adapters.<product>.down    [slots, rank, in]    LoRA's A
    adapters.<product>.up      [slots, rank, out]   LoRA's B, scaled and transposed

`slots` and `rank` are free: a run in which no row has an adapter is given a rank of 0
and pays for hardly more than the operators' dispatch. A product of several modules has
`rank` once for each, and blocks of zeros in `up` where a module's rows are not its own.

Rows are gathered by adapter rather than adapters by row: a row's input is a thousandth
of its adapter. Each row is then a product of its own, so that its answer does not depend
on who else is in the batch: a product of several rows is summed in another order.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from deployments.kernels import decoder_names as names
from deployments.kernels.adapter_targets import Target
from deployments.kernels.graph_writer import MICROSOFT, GraphWriter


class AdapterWriter:
    """Adds what the rows' adapters say to products, one call for each product."""

    def __init__(self, graph: GraphWriter, element_type: int) -> None:
        self.targets: list[Target] = []
        self._graph = graph
        self._element_type = element_type
        self._grouped: dict[str, str] = {}  # input of a product -> the same, by adapter
        index = graph.input(names.ADAPTER_INDEX, TensorProto.INT64, ["batch"])
        self._write_groups(index)

    def added(self, x: str, product: str, target: Target) -> str:
        """x [B, S, in] and what the base makes of it [B, S, out] -> the latter, adapted."""
        graph, name = self._graph, f"{target.name}/adapter"
        self.targets.append(target)
        rank = f"rank_of_{len(target.parts)}"
        down = graph.input(target.down, self._element_type, ["slots", rank, target.width])
        up = graph.input(target.up, self._element_type, ["slots", rank, target.out])
        # From here on [adapters, rows, S, ...] times [adapters, 1, rank, ...].
        narrow = graph.node(
            "FusedMatMul",
            [self._by_adapter(x), graph.node("Gather", [down, self._used], f"{name}/down", axis=0)],
            f"{name}/narrow",
            domain=MICROSOFT,
            transB=1,
        )
        chosen = graph.node("Gather", [up, self._used], f"{name}/up", axis=0)
        wide = graph.node("MatMul", [narrow, chosen], f"{name}/wide")
        by_row = graph.node("GatherND", [wide, self._places], f"{name}/by_row")
        return graph.node("Add", [product, by_row], f"{name}/Add")

    def _by_adapter(self, x: str) -> str:
        """[B, S, in] -> [adapters, rows, S, in]; written once where several products read x."""
        if x not in self._grouped:
            self._grouped[x] = self._graph.node(
                "Gather", [x, self._members], f"{x}/by_adapter", axis=0
            )
        return self._grouped[x]

    def _write_groups(self, index: str) -> None:
        """The batch as a table: an adapter a line, its rows side by side, short lines padded.

        used    [adapters, 1]     slots that rows of this run have
        members [adapters, rows]  the row at each place of the table; 0 in the padding
        places  [B, 2]            where each row is in the table
        """
        graph = self._graph
        zero, one = self._integers("zero", 0), self._integers("one", 1)
        last, off_on = self._integers("last", [-1]), self._integers("off_on", [0, 1])
        slots, line, counts = (f"adapters/{part}" for part in ("slots", "line", "counts"))
        graph.node("Unique", [index], "adapters/unique", outputs=[slots, "", line, counts])
        self._used = graph.node("Unsqueeze", [slots, last], "adapters/used")
        lines = graph.node("Shape", [slots], "adapters/lines")
        longest = graph.node("ReduceMax", [counts], "adapters/longest", keepdims=1)
        # How many rows before it have the same adapter: a row's place in its line.
        depth = graph.node("Squeeze", [lines], "adapters/depth")
        member = graph.node("OneHot", [line, depth, off_on], "adapters/member")
        before = graph.node("CumSum", [member, zero], "adapters/before", exclusive=1)
        own = graph.node("Mul", [before, member], "adapters/own")
        place = graph.node("ReduceSum", [own, last], "adapters/place", keepdims=1)
        column = graph.node("Unsqueeze", [line, last], "adapters/column")
        self._places = graph.node("Concat", [column, place], "adapters/places", axis=1)
        shape = graph.node("Concat", [lines, longest], "adapters/shape", axis=0)
        empty = graph.node("Expand", [zero, shape], "adapters/empty")
        batch = graph.node("Squeeze", [graph.node("Shape", [index], "adapters/shape_of")], "batch")
        rows = graph.node("Range", [zero, batch, one], "adapters/rows")
        self._members = graph.node("ScatterND", [empty, self._places, rows], "adapters/members")

    def _integers(self, name: str, value: int | list[int]) -> str:
        return self._graph.constant(f"adapters.{name}", np.array(value, np.int64))
