"""Precisions by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnx import TensorProto

from bestiary.errors import KernelError
from deployments.kernels.graph_writer import GraphWriter
from deployments.kernels.precisions.activation_bytes import OneByte, TwoBytes
from deployments.kernels.precisions.blocks import Int4, Int8
from deployments.kernels.precisions.mixed import MixedBfloat16
from deployments.kernels.precisions.plain import Plain
from deployments.kernels.precisions.precision import Precision
from deployments.kernels.precisions.q41 import Q41
from deployments.kernels.precisions.rows import Rows

PRECISIONS: Mapping[str, Callable[[GraphWriter], Precision]] = {
    "fp32": Plain,
    "fp16": lambda graph: Plain(graph, TensorProto.FLOAT16),
    "bf16": lambda graph: Plain(graph, TensorProto.BFLOAT16),
    "bf16mix": MixedBfloat16,
    "int8": Int8,
    "q41fast": Q41,
    "w8a16": lambda graph: Rows(graph, TwoBytes),
    "w8row": lambda graph: Rows(graph, OneByte),
    "int4": Int4,
}


def precision(name: str, graph: GraphWriter) -> Precision:
    """Raises KernelError for an unknown name, which lists the known ones."""
    try:
        return PRECISIONS[name](graph)
    except KeyError as error:
        raise KernelError(f"no precision {name!r}; known: {', '.join(PRECISIONS)}") from error
