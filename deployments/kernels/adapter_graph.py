"""Writes low-rank additions (LoRA, arXiv:2106.09685), another one for each row of a batch.

    adapter_members  int64 [lines, columns]        the batch by adapter, see `adapter_table.py`
    adapter_filled   [1, lines, columns, 1, 1]     1 where a place counts, else 0
    adapter_places   int64 [B, 2]                  each row's place
    adapters.<product>.down  [1, lines, 1, rank, in]      LoRA's A
    adapters.<product>.up    [1, 1, lines, 1, rank, out]  LoRA's B, scaled and transposed

`lines` and `rank` are free: a run in which no row has an adapter is given one line of
zeros, of rank 1, and pays for hardly more than the operators' dispatch. A product of
several modules has `rank` once for each, and blocks of zeros in `up` where a module's
rows are not its own. Adapters are read where they lie: gathering those that rows have
copies each of them in every step, which took longer than all that is computed with them.

A row's answer must not depend on the batch or on how its prompt was cut into chunks, and
ONNX Runtime's CPU sums a product in an order that depends on its size:

- each row is a product of its own, [S, in] times [in, rank], never one of several rows.
  MatMul makes one of all rows where the right side is a single matrix and has no more
  dimensions than the left: so it always has one more;
- S tokens are padded to `rank`, unless S is 1: with fewer tokens than columns the threads
  share the columns, and how many a thread has changes its sums.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from deployments.kernels import decoder_names as names
from deployments.kernels.adapter_targets import Target
from deployments.kernels.graph_writer import MICROSOFT, GraphWriter


class AdapterWriter:
    """Adds what the rows' adapters say to products, one call for each product."""

    def __init__(self, graph: GraphWriter, ids: str, element_type: int) -> None:
        """`ids` [B, S] is read for its shape."""
        self.targets: list[Target] = []
        self._graph = graph
        self._element_type = element_type
        self._sources: dict[int, str] = {}  # parts of a product -> where its input comes from
        self._sorted: dict[tuple[str, int], str] = {}  # input and parts -> input by adapter
        integer = TensorProto.INT64
        self._members = graph.input(names.ADAPTER_MEMBERS, integer, ["lines", "columns"])
        self._filled = graph.input(
            names.ADAPTER_FILLED, element_type, [1, "lines", "columns", 1, 1]
        )
        places = graph.input(names.ADAPTER_PLACES, integer, ["batch", 2])
        self._tokens = graph.node("Shape", [ids], "adapters/tokens", start=1, end=2)
        self._results = self._write_results(places)

    def added(self, x: str, product: str, target: Target) -> str:
        """x [B, S, in] and what the base makes of it [B, S, out] -> the latter, adapted."""
        graph, name, kind = self._graph, f"{target.name}/adapter", self._element_type
        self.targets.append(target)
        rank = f"rank_of_{len(target.parts)}"
        down = graph.input(target.down, kind, [1, "lines", 1, rank, target.width])
        up = graph.input(target.up, kind, [1, 1, "lines", 1, rank, target.out])
        # [lines, columns, S, in] times [1, lines, 1, rank, in], transposed
        by_adapter = self._by_adapter(x, target)
        narrow = graph.node(
            "FusedMatMul", [by_adapter, down], f"{name}/narrow", domain=MICROSOFT, transB=1
        )
        counted = graph.node("Mul", [narrow, self._filled], f"{name}/counted")
        # [1, lines, columns, S, rank] times [1, 1, lines, 1, rank, out]
        wide = graph.node("MatMul", [counted, up], f"{name}/wide")
        by_row = graph.node("GatherND", [wide, self._results], f"{name}/by_row")
        return graph.node("Add", [product, by_row], f"{name}/Add")

    def _by_adapter(self, x: str, target: Target) -> str:
        """[B, S, in] -> [lines, columns, S padded, in]; once where several products read x."""
        parts = len(target.parts)
        if parts not in self._sources:
            self._sources[parts] = self._write_sources(target.down, f"adapters/{parts}")
        if (x, parts) not in self._sorted:
            self._sorted[x, parts] = self._graph.node(
                "GatherND", [x, self._sources[parts]], f"{x}/by_adapter_{parts}"
            )
        return self._sorted[x, parts]

    def _write_results(self, places: str) -> str:
        """[B, S, 5]: where each token of each row is in [1, 1, lines, columns, S padded]."""
        graph = self._graph
        batch = graph.node("Shape", [places], "adapters/results/batch", start=0, end=1)
        shape = [batch, self._tokens, self._integers("one", [1])]
        whole = graph.node("Concat", shape, "adapters/results/shape", axis=0)
        second, last = self._integers("second", [1]), self._integers("last", [-1])
        places = graph.node("Unsqueeze", [places, second], "adapters/results/row")
        tokens = self._counted(self._tokens, "adapters/results/tokens")
        column = graph.node("Unsqueeze", [tokens, last], "adapters/results/column")
        outer = self._integers("outer", [[[0, 0]]])
        return graph.node(
            "Concat",
            [
                graph.node("Expand", [outer, whole], "adapters/results/outer"),
                graph.node("Expand", [places, whole], "adapters/results/places"),
                graph.node("Expand", [column, whole], "adapters/results/steps"),
            ],
            "adapters/results",
            axis=-1,
        )

    def _write_sources(self, down: str, name: str) -> str:
        """[lines, columns, S padded, 2]: the row and token that each place reads."""
        graph = self._graph
        one, last = self._integers("one", [1]), self._integers("last", [-1])
        rank = graph.node("Shape", [down], f"{name}/rank", start=3, end=4)
        several = graph.node("Greater", [self._tokens, one], f"{name}/several")
        least = graph.node("Where", [several, rank, one], f"{name}/least")
        padded = graph.node("Max", [self._tokens, least], f"{name}/padded")
        final = graph.node("Sub", [self._tokens, one], f"{name}/final")
        steps = self._counted(padded, f"{name}/steps")
        tokens = graph.node("Min", [steps, final], f"{name}/tokens")
        column = graph.node("Unsqueeze", [tokens, last], f"{name}/column")
        inner = self._integers("inner", [2, 3])
        members = graph.node("Unsqueeze", [self._members, inner], f"{name}/members")
        table = graph.node("Shape", [self._members], f"{name}/table")
        whole = graph.node("Concat", [table, padded, one], f"{name}/shape", axis=0)
        return graph.node(
            "Concat",
            [
                graph.node("Expand", [members, whole], f"{name}/rows"),
                graph.node("Expand", [column, whole], f"{name}/columns"),
            ],
            f"{name}/sources",
            axis=-1,
        )

    def _counted(self, count: str, name: str) -> str:
        """count [1] -> 0, 1 ... count - 1."""
        end = self._graph.node("Squeeze", [count], f"{name}/end")
        zero, step = self._integers("zero", 0), self._integers("step", 1)
        return self._graph.node("Range", [zero, end, step], name)

    def _integers(self, name: str, value: int | list[int] | list[list[list[int]]]) -> str:
        return self._graph.constant(f"adapters.{name}", np.array(value, np.int64))
