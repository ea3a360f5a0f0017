"""The parts that every decoder graph shares: its inputs and outputs, attention, norms, head.

A run takes S new tokens of each of B rows; row b has its own length:

    input_ids                  int64 [B, S]
    wanted_positions           int64 [B, K, 1]  which of the S positions the logits are for
    logits                     float32 [B * K, vocabulary], row after row

What it takes and gives of the tokens before, and which B and S go together, is its
attention's form (`pool_attention.py`, `prompt_attention.py`). A graph that takes adapters
has the inputs of `adapter_graph.py` too.
What an architecture is made of is in its own file (`llama.py`, `gpt2.py`, `gemma3.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from onnx import TensorProto

from deployments.kernels import decoder_names as names
from deployments.kernels.adapter_graph import AdapterWriter
from deployments.kernels.adapter_targets import Parts, Target
from deployments.kernels.attention import AttentionShape, Form, HeadNorms, Rotary, Vector
from deployments.kernels.graph_writer import MICROSOFT, GraphWriter
from deployments.kernels.precisions import Precision


class DecoderGraph:
    """Writes a decoder, part by part, in the order in which data flows."""

    def __init__(
        self,
        graph: GraphWriter,
        precision: Precision,
        form: Callable[[GraphWriter, str, int], Form],
        adapters: bool = False,
        inputs: Mapping[str, Vector] = MappingProxyType({}),
    ) -> None:
        """`inputs`: how large the inputs of a module are, by its name; see `calibration.py`."""
        self.precision = precision
        self._inputs = inputs
        self._graph = graph
        self.ids = graph.input(names.IDS, TensorProto.INT64, ["batch", "sequence"])
        self._form = form(graph, self.ids, precision.element_type)
        self._wanted = graph.input(names.WANTED, TensorProto.INT64, ["batch", "wanted", 1])
        self._adapters = (
            AdapterWriter(graph, self.ids, precision.element_type) if adapters else None
        )

    @property
    def targets(self) -> tuple[Target, ...]:
        """What adapters can change; nothing where the graph takes none."""
        return () if self._adapters is None else tuple(self._adapters.targets)

    def linear(self, x: str, weight: Vector, bias: Vector | None, name: str, parts: Parts) -> str:
        """x [B, S, in] and weight [out, in] -> [B, S, out], each row with its own adapter.

        `parts`: the modules whose weights are stacked in this one.
        """
        product = self.precision.linear(x, weight, bias, name, self._inputs.get(parts[0][0]))
        if self._adapters is None:
            return product
        return self._adapters.added(x, product, Target(name, weight.shape[1], parts))

    def rotary(self, name: str, cosines: Vector, sines: Vector) -> Rotary:
        """Tables [positions, head_dim / 2] that `attention` turns queries and keys by."""
        return (
            self.precision.vector(cosines, f"{name}.cosines"),
            self.precision.vector(sines, f"{name}.sines"),
        )

    def attention(
        self,
        layer: int,
        packed: str,
        shape: AttentionShape,
        rotary: Rotary | None,
        norms: HeadNorms | None = None,
    ) -> str:
        """packed [B, S, (heads + 2 kv_heads) * head_dim] -> [B, S, heads * head_dim].

        Without `rotary` positions are the architecture's own affair.
        """
        name = f"layers.{layer}/attention"
        if norms is None and self._form.takes_packed:
            heads = packed, "", ""
        else:
            heads = self._parted(packed, shape, name)
        if norms is not None:
            queries, keys, values = heads
            heads = (
                self._head_norm(queries, norms.queries, shape, norms.epsilon),
                self._head_norm(keys, norms.keys, shape, norms.epsilon),
                values,
            )
        return self._form.attend(layer, heads, shape, rotary, name)

    def learned_positions(self, table: Vector, name: str) -> str:
        """Each token's row of a table [positions, width]: [B, S, width]."""
        stored = self.precision.vector(table, f"{name}.weight")
        return self._graph.node(
            "Gather", [stored, self._form.places(name)], f"{name}/Gather", axis=0
        )

    def layer_norm(self, x: str, norm: tuple[Vector, Vector], epsilon: float, name: str) -> str:
        """With scale and shift, arXiv:1607.06450."""
        return self._graph.node(
            "LayerNormalization", [x, *self._affine(norm, name)], name, axis=-1, epsilon=epsilon
        )

    def skip_layer_norm(
        self, x: str, skip: str, norm: tuple[Vector, Vector], epsilon: float, name: str
    ) -> tuple[str, str]:
        """The norm of x + skip, and x + skip itself."""
        return self._skip(
            "SkipLayerNormalization", [x, skip, *self._affine(norm, name)], epsilon, name
        )

    def rms_norm(self, x: str, weight: Vector, epsilon: float, name: str) -> str:
        """arXiv:1910.07467."""
        stored = self.precision.vector(weight, f"{name}.weight")
        return self._graph.node(
            "SimplifiedLayerNormalization", [x, stored], name, axis=-1, epsilon=epsilon
        )

    def skip_rms_norm(
        self, x: str, skip: str, weight: Vector, epsilon: float, name: str
    ) -> tuple[str, str]:
        """The norm of x + skip, and x + skip itself."""
        stored = self.precision.vector(weight, f"{name}.weight")
        return self._skip("SkipSimplifiedLayerNormalization", [x, skip, stored], epsilon, name)

    def silu_gate(self, gate: str, up: str, name: str) -> str:
        """silu(gate) * up (SwiGLU, arXiv:2002.05202); QuickGelu with alpha 1 is SiLU, fused."""
        opened = self._graph.node("QuickGelu", [gate], f"{name}/silu", domain=MICROSOFT, alpha=1.0)
        return self._graph.node("Mul", [opened, up], f"{name}/gate")

    def gelu_gate(self, gate: str, up: str, name: str) -> str:
        """gelu(gate) * up (GeGLU, arXiv:2002.05202), as `gelu`."""
        return self._graph.node("Mul", [self.gelu(gate, name), up], f"{name}/gate")

    def gelu(self, x: str, name: str) -> str:
        """By the tanh that approximates it (arXiv:1606.08415): gelu_new, gelu_pytorch_tanh."""
        return self._graph.node("Gelu", [x], f"{name}/gelu", approximate="tanh")

    def add(self, x: str, y: str, name: str) -> str:
        return self._graph.node("Add", [x, y], name)

    def scaled(self, x: str, factor: float, name: str) -> str:
        stored = self.precision.vector(np.array(factor, np.float32), f"{name}.factor")
        return self._graph.node("Mul", [x, stored], name)

    def at_wanted(self, hidden: str, width: int) -> str:
        """[B, S, width] -> [B * K, width]: the head is paid for where logits are asked for."""
        found = self._graph.node("GatherND", [hidden, self._wanted], "wanted", batch_dims=1)
        shape = self._graph.constant("wanted.shape", np.array([-1, width], np.int64))
        return self._graph.node("Reshape", [found, shape], "wanted/rows")

    def head(self, last: str, weight: Vector, name: str) -> None:
        """[B * K, width] and weight [vocabulary, width] -> the graph's logits."""
        self._graph.output(names.LOGITS, TensorProto.FLOAT, ["rows", weight.shape[0]])
        self.precision.head(last, weight, name, names.LOGITS)
        self._form.finish()

    def _parted(self, packed: str, shape: AttentionShape, name: str) -> tuple[str, str, str]:
        """Queries, keys and values apart."""
        sizes = self._integers(f"{name}.widths", list(shape.widths))
        queries, keys, values = (f"{name}/{part}" for part in ("queries", "keys", "values"))
        self._graph.node(
            "Split", [packed, sizes], f"{name}/split", outputs=[queries, keys, values], axis=-1
        )
        return queries, keys, values

    def _head_norm(self, x: str, weight: Vector, shape: AttentionShape, epsilon: float) -> str:
        heads = self._integers("heads.shape", [0, 0, -1, shape.head_dim])
        flat = self._integers("heads.flat", [0, 0, -1])
        parted = self._graph.node("Reshape", [x, heads], f"{x}/heads")
        normed = self.rms_norm(parted, weight, epsilon, f"{x}/norm")
        return self._graph.node("Reshape", [normed, flat], f"{x}/flat")

    def _skip(
        self, operator: str, inputs: Sequence[str], epsilon: float, name: str
    ) -> tuple[str, str]:
        residual = f"{name}/residual"
        self._graph.node(
            operator,
            inputs,
            name,
            outputs=[name, "", "", residual],
            domain=MICROSOFT,
            epsilon=epsilon,
        )
        return name, residual

    def _affine(self, norm: tuple[Vector, Vector], name: str) -> tuple[str, str]:
        scale, shift = norm
        return (
            self.precision.vector(scale, f"{name}.weight"),
            self.precision.vector(shift, f"{name}.bias"),
        )

    def _integers(self, name: str, value: int | list[int]) -> str:
        return self._graph.constant(name, np.array(value, np.int64))
