"""What a graph gives: pooled vectors, hidden states and the logits of heads, in float32.

All of a graph's outputs are computed in each run. All but the words of masked tokens cost
next to nothing beside the body, and those are computed for the wanted rows only.
Knows no architecture.
"""

from __future__ import annotations

from typing import NamedTuple

from onnx import TensorProto

from deployments.kernels import encoder_names as names
from deployments.kernels.encoder_graph import WORD_TABLE, EncoderGraph, Vector
from deployments.kernels.encoder_names import Output
from deployments.kernels.precisions import Precision
from deployments.kernels.precisions.plain import Plain

Dense = tuple[Vector, Vector]  # weight [out, in] and bias [out]


class WordHead(NamedTuple):
    """BERT's masked language model: a dense layer, GELU, a norm, and the table of words."""

    transform: Dense
    norm: tuple[Vector, Vector]
    table: Vector | None  # None: that of the embeddings
    words: Vector  # the embeddings' [vocabulary, width]
    bias: Vector
    epsilon: float


class EncoderOutputs:
    """Writes outputs over hidden states [B, S, width]. `words` is for the table of words."""

    def __init__(self, graph: EncoderGraph, words: Precision, hidden: str, width: int) -> None:
        self._parts = graph
        self._graph = graph.graph
        self._words = words
        # Small matrices stay floats: nothing would be won.
        self._plain = Plain(graph.graph, graph.precision.element_type)
        self._hidden = hidden
        self._width = width

    def hidden(self) -> None:
        self._give(self._hidden, Output.HIDDEN, ["batch", "sequence", self._width])

    def mean(self) -> None:
        """Over each text's own tokens. Scaling to unit length makes up for the division."""
        mask = self._parts.own_tokens()
        summed = self._graph.node("MatMul", [mask, self._hidden], "mean/sum")
        axis = self._parts.integers("mean/axis", [1])
        self._unit(self._graph.node("Squeeze", [summed, axis], "mean/flat"), Output.MEAN)

    def first(self) -> str:
        """The first token's hidden state, [B, width]."""
        zero = self._parts.integers("first/zero", [0])
        axis = self._parts.integers("first/axis", [1])
        kept = self._graph.node("Gather", [self._hidden, zero], "first/kept", axis=1)
        name = self._graph.node("Squeeze", [kept, axis], "first")
        self._unit(name, Output.CLS)
        return name

    def pooler(self, first: str, dense: Dense) -> str:
        """The first token through BERT's pooler, [B, width]."""
        opened = self._linear(first, dense, "pooler/dense")
        name = self._graph.node("Tanh", [opened], "pooler/tanh")
        self._unit(name, Output.POOLER)
        return name

    def words(self, head: WordHead) -> None:
        graph = self._graph
        rows = graph.input(names.ROWS, TensorProto.INT64, ["rows", 2])
        picked = graph.node("GatherND", [self._hidden, rows], "words/rows")
        dense = self._linear(picked, head.transform, "words/dense")
        opened = graph.node("Gelu", [dense], "words/gelu")
        normed = graph.node(
            "LayerNormalization",
            [opened, *self._parts.norm(head.norm, "words/norm")],
            "words/norm",
            axis=-1,
            epsilon=head.epsilon,
        )
        tied = head.table is None
        table = head.words if head.table is None else head.table
        self._words.head(normed, table, WORD_TABLE if tied else "words/table", "words/products")
        bias = graph.constant("words/bias", head.bias)  # logits are float32 by now
        graph.node("Add", ["words/products", bias], "words/logits", outputs=[Output.WORDS])
        graph.output(Output.WORDS, TensorProto.FLOAT, ["rows", table.shape[0]])

    def logits_of_texts(self, x: str, dense: Dense, output: Output) -> None:
        """x [B, width] -> [B, labels]."""
        self._give(self._linear(x, dense, f"{output}/dense"), output, ["batch", len(dense[1])])

    def logits_of_tokens(self, dense: Dense) -> None:
        product = self._linear(self._hidden, dense, f"{Output.TOKENS}/dense")
        self._give(product, Output.TOKENS, ["batch", "sequence", len(dense[1])])

    def _linear(self, x: str, dense: Dense, name: str) -> str:
        return self._plain.linear(x, dense[0], dense[1], name)

    def _unit(self, x: str, output: Output) -> None:
        graph = self._graph
        floats = self._floats(x, f"{output}/float32")
        graph.node("LpNormalization", [floats], f"{output}/unit", outputs=[output], axis=-1, p=2)
        graph.output(output, TensorProto.FLOAT, ["batch", self._width])

    def _give(self, x: str, output: Output, shape: list[int | str]) -> None:
        graph = self._graph
        graph.node(
            "Identity", [self._floats(x, f"{output}/float32")], f"{output}/given", outputs=[output]
        )
        graph.output(output, TensorProto.FLOAT, shape)

    def _floats(self, x: str, name: str) -> str:
        if self._plain.element_type == TensorProto.FLOAT:
            return x
        return self._graph.node("Cast", [x], name, to=int(TensorProto.FLOAT))
