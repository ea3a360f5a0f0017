"""Writes low-rank additions (LoRA, arXiv:2106.09685), another one for each row of a batch.

    adapter_index              int64 [B]      the row's slot; slot 0 adds nothing
    adapters.<product>.down    [slots, rank, in]    LoRA's A
    adapters.<product>.up      [slots, rank, out]   LoRA's B, scaled and transposed

`slots` and `rank` are free: a run in which no row has an adapter is given one slot of
zeros, of rank 1, and pays for hardly more than the operators' dispatch. A product of
several modules has `rank` once for each, and blocks of zeros in `up` where a module's
rows are not its own.

Rows are gathered by adapter rather than adapters by row: a row's input is a thousandth
of its adapter. A row's answer must not depend on the batch or on how its prompt was cut
into chunks, and ONNX Runtime's CPU sums a product in an order that depends on its size:

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
        self._grouped: dict[tuple[str, int], str] = {}  # input and parts -> input by adapter
        index = graph.input(names.ADAPTER_INDEX, TensorProto.INT64, ["batch"])
        self._tokens = graph.node("Shape", [ids], "adapters/tokens", start=1, end=2)
        self._write_table(index)
        self._write_results(index)

    def added(self, x: str, product: str, target: Target) -> str:
        """x [B, S, in] and what the base makes of it [B, S, out] -> the latter, adapted."""
        graph, name = self._graph, f"{target.name}/adapter"
        self.targets.append(target)
        rank = f"rank_of_{len(target.parts)}"
        down = graph.input(target.down, self._element_type, ["slots", rank, target.width])
        up = graph.input(target.up, self._element_type, ["slots", rank, target.out])
        # [adapters, rows, S, in] times [1, adapters, 1, rank, in], transposed
        chosen = graph.node("Gather", [down, self._used], f"{name}/down", axis=0)
        grouped = self._by_adapter(x, target)
        narrow = graph.node(
            "FusedMatMul", [grouped, chosen], f"{name}/narrow", domain=MICROSOFT, transB=1
        )
        # [1, adapters, rows, S, rank] times [1, 1, adapters, 1, rank, out]
        chosen = graph.node("Gather", [up, self._used_again], f"{name}/up", axis=0)
        wide = graph.node("MatMul", [narrow, chosen], f"{name}/wide")
        by_row = graph.node("GatherND", [wide, self._results], f"{name}/by_row")
        return graph.node("Add", [product, by_row], f"{name}/Add")

    def _by_adapter(self, x: str, target: Target) -> str:
        """[B, S, in] -> [adapters, rows, S padded, in]; once where several products read x."""
        parts = len(target.parts)
        if parts not in self._sources:
            self._sources[parts] = self._write_sources(target.down, f"adapters/{parts}")
        if (x, parts) not in self._grouped:
            self._grouped[x, parts] = self._graph.node(
                "GatherND", [x, self._sources[parts]], f"{x}/by_adapter_{parts}"
            )
        return self._grouped[x, parts]

    def _write_table(self, index: str) -> None:
        """The batch as a table: an adapter a line, its rows side by side, short lines padded.

        used        [1, adapters, 1]     slots that rows of this run have
        used_again  [1, 1, adapters, 1]
        members     [adapters, rows]     the row at each place of the table; 0 in the padding
        places      [B, 2]               where each row is in the table
        """
        graph = self._graph
        zero, last = self._integers("zero", 0), self._integers("last", [-1])
        slots, line, counts = (f"adapters/{part}" for part in ("slots", "line", "counts"))
        graph.node("Unique", [index], "adapters/unique", outputs=[slots, "", line, counts])
        around = self._integers("around", [0, 2])
        self._used = graph.node("Unsqueeze", [slots, around], "adapters/used")
        first = self._integers("first", [0])
        self._used_again = graph.node("Unsqueeze", [self._used, first], "adapters/used_again")
        lines = graph.node("Shape", [slots], "adapters/lines")
        longest = graph.node("ReduceMax", [counts], "adapters/longest", keepdims=1)
        # How many rows before it have the same adapter: a row's place in its line.
        depth = graph.node("Squeeze", [lines], "adapters/depth")
        off_on = self._integers("off_on", [0, 1])
        member = graph.node("OneHot", [line, depth, off_on], "adapters/member")
        before = graph.node("CumSum", [member, zero], "adapters/before", exclusive=1)
        own = graph.node("Mul", [before, member], "adapters/own")
        place = graph.node("ReduceSum", [own, last], "adapters/place", keepdims=1)
        column = graph.node("Unsqueeze", [line, last], "adapters/column")
        self._places = graph.node("Concat", [column, place], "adapters/places", axis=1)
        self._table = graph.node("Concat", [lines, longest], "adapters/table", axis=0)
        empty = graph.node("Expand", [zero, self._table], "adapters/empty")
        batch = graph.node("Shape", [index], "adapters/batch")
        rows = self._counted(batch, "adapters/rows")
        self._members = graph.node("ScatterND", [empty, self._places, rows], "adapters/members")

    def _write_results(self, index: str) -> None:
        """[B, S, 5]: where each token of each row is in [1, 1, adapters, rows, S padded]."""
        graph = self._graph
        batch = graph.node("Shape", [index], "adapters/results/batch")
        shape = [batch, self._tokens, self._integers("one", [1])]
        whole = graph.node("Concat", shape, "adapters/results/shape", axis=0)
        second, last = self._integers("second", [1]), self._integers("last", [-1])
        places = graph.node("Unsqueeze", [self._places, second], "adapters/results/row")
        tokens = self._counted(self._tokens, "adapters/results/tokens")
        column = graph.node("Unsqueeze", [tokens, last], "adapters/results/column")
        outer = self._integers("outer", [[[0, 0]]])
        self._results = graph.node(
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
        """[adapters, rows, S padded, 2]: the row and token that each place reads."""
        graph = self._graph
        one, last = self._integers("one", [1]), self._integers("last", [-1])
        rank = graph.node("Shape", [down], f"{name}/rank", start=1, end=2)
        several = graph.node("Greater", [self._tokens, one], f"{name}/several")
        least = graph.node("Where", [several, rank, one], f"{name}/least")
        padded = graph.node("Max", [self._tokens, least], f"{name}/padded")
        final = graph.node("Sub", [self._tokens, one], f"{name}/final")
        steps = self._counted(padded, f"{name}/steps")
        tokens = graph.node("Min", [steps, final], f"{name}/tokens")
        column = graph.node("Unsqueeze", [tokens, last], f"{name}/column")
        inner = self._integers("inner", [2, 3])
        members = graph.node("Unsqueeze", [self._members, inner], f"{name}/members")
        whole = graph.node("Concat", [self._table, padded, one], f"{name}/shape", axis=0)
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
