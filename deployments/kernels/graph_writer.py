"""Writes one ONNX model: nodes in memory, weights streamed to one file beside it.

Knows ONNX, and nothing of any model. Never holds more than one weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from deployments.kernels.model_files import GRAPH_FILE, WEIGHTS_FILE

MICROSOFT = "com.microsoft"  # ONNX Runtime's own operators
PAGE = 4096  # weights start on a page, so that they can be memory-mapped
INLINE_BYTES = 1024  # smaller constants stay in the graph, where shape inference sees them
OPSET, IR_VERSION = 21, 10

Attribute = int | float | str | Sequence[int]


class GraphWriter:
    """A context manager: the weights file is open until `save`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._weights: BinaryIO = (folder / WEIGHTS_FILE).open("wb")
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def __enter__(self) -> GraphWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._weights.close()

    def input(self, name: str, element_type: int, shape: Sequence[int | str]) -> str:
        self._inputs.append(helper.make_tensor_value_info(name, element_type, shape))
        return name

    def output(self, name: str, element_type: int, shape: Sequence[int | str]) -> str:
        self._outputs.append(helper.make_tensor_value_info(name, element_type, shape))
        return name

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """A weight or a small constant. The same name twice is the same constant."""
        if name not in self._constants:
            inline = value.nbytes <= INLINE_BYTES
            self._constants[name] = (
                numpy_helper.from_array(np.asarray(value, order="C"), name)
                if inline
                else self._stream(name, value)
            )
        return name

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        name: str,
        *,
        outputs: Sequence[str] | None = None,
        domain: str = "",
        **attributes: Attribute,
    ) -> str:
        """Adds a node and gives its first output, which is called as the node is by default."""
        named = list(outputs) if outputs is not None else [name]
        self._nodes.append(
            helper.make_node(operator, inputs, named, name=name, domain=domain, **attributes)
        )
        return named[0]

    def save(self, name: str, facts: Mapping[str, str] | None = None) -> Path:
        """Writes the graph file; the folder then holds all that a session needs.

        `facts` are kept in the model's metadata, where a session can read them.
        """
        graph = helper.make_graph(
            self._nodes, name, self._inputs, self._outputs, list(self._constants.values())
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)],
            ir_version=IR_VERSION,
            producer_name="bestiary",
        )
        helper.set_model_props(model, dict(facts or {}))
        self._weights.flush()
        path = self._folder / GRAPH_FILE
        path.write_bytes(model.SerializeToString())
        return path

    def _stream(self, name: str, value: NDArray[np.generic]) -> onnx.TensorProto:
        self._weights.write(b"\0" * (-self._weights.tell() % PAGE))
        offset = self._weights.tell()
        # As bytes: bfloat16 is no type that a buffer can have.
        self._weights.write(np.ascontiguousarray(value).view(np.uint8).data)
        tensor = TensorProto(
            name=name,
            data_type=helper.np_dtype_to_tensor_dtype(value.dtype),
            dims=value.shape,
            data_location=TensorProto.EXTERNAL,
        )
        place = {"location": WEIGHTS_FILE, "offset": str(offset), "length": str(value.nbytes)}
        for key, text in place.items():
            tensor.external_data.add(key=key, value=text)
        return tensor
