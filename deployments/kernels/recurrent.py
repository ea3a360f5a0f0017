"""The recurrent encoder-decoder with Bahdanau's attention, or without (arXiv:1409.0473).

The model is `training/architectures/recurrent_seq2seq.py`, which gives its equations and its
tensors' names. The encoder's GRU stays in float32 in every precision: its operator takes no
other weights.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from bestiary.errors import KernelError
from deployments.kernels import seq2seq_names as names
from deployments.kernels.checkpoint import Checkpoint, Config
from deployments.kernels.seq2seq_layers import Seq2SeqLayers, Vector
from deployments.kernels.source_graph import SourceGraph
from deployments.kernels.target_graph import TargetGraph

STATE = "state"
KEYS, HIDDEN, FIXED = "keys", "hidden", "fixed"


def write_recurrent_encoder(checkpoint: Checkpoint, graph: SourceGraph) -> None:
    if graph.precision.element_type != TensorProto.FLOAT:
        raise KernelError("the recurrent encoder computes in float32: use fp32 or int8")
    hidden, context = _widths(checkpoint.config)
    states, forward, backward = _encoder_gru(checkpoint, graph)
    first = graph.activation("tanh", _linear(checkpoint, graph, backward, "bridge"), "bridge")
    graph.first_state(first, hidden, STATE)
    if checkpoint.config.flag("attention", False):
        keys = graph.linear(states, checkpoint.tensor("attention_keys.weight"), None, "keys")
        graph.cross(states, ["texts", names.SOURCE_AXIS, context], HIDDEN)
        graph.cross(keys, ["texts", names.SOURCE_AXIS, hidden], KEYS)
    else:
        fixed = graph.graph.node("Concat", [forward, backward], "fixed", axis=-1)
        graph.cross(fixed, ["texts", context], FIXED)


def write_recurrent_decoder(checkpoint: Checkpoint, graph: TargetGraph) -> None:
    hidden, _ = _widths(checkpoint.config)
    table = checkpoint.tensor("embedding.weight")
    embedded = graph.precision.embedding(graph.ids, table, "embedding")
    state = graph.grouped(graph.state(hidden, STATE), hidden, STATE)
    attends = checkpoint.config.flag("attention", False)
    context = _attended(checkpoint, graph, state) if attends else _fixed(checkpoint, graph)
    following = _gru_cell(checkpoint, graph, embedded, context, state)
    graph.next_state(following, hidden, STATE)
    read = graph.graph.node("Concat", [following, embedded, context], "read", axis=-1)
    widest = _maxout(graph, _linear(checkpoint, graph, read, "readout"), table.shape[1])
    tied = "output.weight" not in checkpoint
    weight = table if tied else checkpoint.tensor("output.weight")
    name = "embedding" if tied else "output"
    graph.head(widest, weight, checkpoint.tensor("output.bias"), name)


def recurrent_positions(config: Config) -> int:
    return config.integer("max_position")


def _encoder_gru(checkpoint: Checkpoint, graph: SourceGraph) -> tuple[str, str, str]:
    """All states [N, S, 2H], and the last one of each direction [N, H]."""
    hidden, context = _widths(checkpoint.config)
    table = checkpoint.tensor("embedding.weight")
    embedded = graph.precision.embedding(graph.ids, table, "embedding")
    writer = graph.graph
    by_time = writer.node("Transpose", [embedded], "gru/by_time", perm=[1, 0, 2])
    outputs = ["gru/states", "gru/last"]
    writer.node(
        "GRU",
        [
            by_time,
            writer.constant("gru.input", _both(checkpoint, "weight_ih")),
            writer.constant("gru.recurrent", _both(checkpoint, "weight_hh")),
            writer.constant("gru.bias", _biases(checkpoint)),
            graph.lengths,
        ],
        "gru",
        outputs=outputs,
        hidden_size=hidden,
        direction="bidirectional",
        linear_before_reset=1,
    )
    turned = writer.node("Transpose", [outputs[0]], "gru/turned", perm=[2, 0, 1, 3])
    flat = graph.integers("gru.flat", [0, 0, context])
    states = writer.node("Reshape", [turned, flat], "states")
    axis = graph.integers("axis.0", [0])
    lasts = ["gru/forward", "gru/backward"]
    writer.node("Split", [outputs[1]], "gru/split", outputs=lasts, axis=0, num_outputs=2)
    forward, backward = (writer.node("Squeeze", [one, axis], f"{one}/last") for one in lasts)
    return states, forward, backward


def _attended(checkpoint: Checkpoint, graph: TargetGraph, state: str) -> str:
    hidden, context = _widths(checkpoint.config)
    writer = graph.graph
    keys = graph.cross(["texts", names.SOURCE_AXIS, hidden], KEYS)
    states = graph.cross(["texts", names.SOURCE_AXIS, context], HIDDEN)
    query = _linear(checkpoint, graph, state, "attention_query")
    queries = writer.node("Unsqueeze", [query, graph.integers("axis.2", [2])], "look/queries")
    spread = writer.node("Unsqueeze", [keys, graph.integers("axis.1", [1])], "look/keys")
    opened = graph.activation("tanh", graph.add(queries, spread, "look/sum"), "look")
    vector = graph.precision.vector(checkpoint.tensor("attention_score.weight").T, "look.score")
    scores = writer.node("MatMul", [opened, vector], "look/scored")  # [G, W, S, 1]
    flat = writer.node("Squeeze", [scores, graph.integers("axis.-1", [-1])], "look/scores")
    weights = graph.softmax_inside(flat, keys, 1, [1], "look")
    graph.show(weights)
    return writer.node("MatMul", [weights, states], "look/context")


def _fixed(checkpoint: Checkpoint, graph: TargetGraph) -> str:
    """The same context for every beam of a text: [G, W, 2H]."""
    _, context = _widths(checkpoint.config)
    writer = graph.graph
    fixed = graph.cross(["texts", context], FIXED)
    column = writer.node("Unsqueeze", [fixed, graph.integers("axis.1", [1])], "fixed/column")
    sizes = [graph.groups, graph.integers(f"size.{context}", [context])]
    shape = writer.node("Concat", sizes, "fixed/shape", axis=0)
    return writer.node("Expand", [column, shape], "fixed")


def _gru_cell(
    checkpoint: Checkpoint, graph: TargetGraph, embedded: str, context: str, state: str
) -> str:
    """arXiv:1406.1078, the reset gate after the recurrent product as in torch."""
    writer = graph.graph
    x = writer.node("Concat", [embedded, context], "cell/input", axis=-1)
    products = []
    for source, part in ((x, "ih"), (state, "hh")):
        weight = checkpoint.tensor(f"decoder.weight_{part}")
        bias = checkpoint.tensor(f"decoder.bias_{part}")
        product = graph.linear(source, weight, bias, f"decoder.{part}")
        parts = [f"cell/{part}.{gate}" for gate in ("reset", "update", "new")]
        writer.node("Split", [product], f"cell/{part}", outputs=parts, axis=-1, num_outputs=3)
        products.append(parts)
    (reset_in, update_in, new_in), (reset_by, update_by, new_by) = products
    reset = writer.node("Sigmoid", [graph.add(reset_in, reset_by, "cell/reset/sum")], "cell/reset")
    update = writer.node(
        "Sigmoid", [graph.add(update_in, update_by, "cell/update/sum")], "cell/update"
    )
    kept = writer.node("Mul", [reset, new_by], "cell/kept")
    new = graph.activation("tanh", graph.add(new_in, kept, "cell/new/sum"), "cell/new")
    away = writer.node("Sub", [state, new], "cell/away")
    part_of_old = writer.node("Mul", [update, away], "cell/old")
    return graph.add(new, part_of_old, "cell/state")


def _maxout(graph: TargetGraph, x: str, width: int) -> str:
    pairs = graph.integers("maxout.pairs", [0, 0, width, 2])
    parted = graph.graph.node("Reshape", [x, pairs], "maxout/pairs")
    axis = graph.integers("axis.-1", [-1])
    return graph.graph.node("ReduceMax", [parted, axis], "maxout", keepdims=0)


def _linear(checkpoint: Checkpoint, graph: Seq2SeqLayers, x: str, name: str) -> str:
    weight, bias = checkpoint.tensor(f"{name}.weight"), checkpoint.tensor(f"{name}.bias")
    return graph.linear(x, weight, bias, name)


def _both(checkpoint: Checkpoint, kind: str) -> Vector:
    """Both directions, [2, 3H, in]."""
    names_ = (f"encoder.{kind}_l0", f"encoder.{kind}_l0_reverse")
    return np.stack([_onnx_gates(checkpoint.tensor(name)) for name in names_])


def _biases(checkpoint: Checkpoint) -> Vector:
    """[2, 6H]: the input's, then the recurrent ones."""
    parts = (_both(checkpoint, "bias_ih"), _both(checkpoint, "bias_hh"))
    return np.concatenate(parts, axis=1)


def _onnx_gates(value: Vector) -> Vector:
    """torch has reset, update, new; ONNX has update, reset, new."""
    reset, update, new = np.split(value, 3)
    return np.concatenate([update, reset, new])


def _widths(config: Config) -> tuple[int, int]:
    """Of a state, and of a context."""
    hidden = config.integer("hidden_size")
    return hidden, 2 * hidden
