"""A float32 graph -> the precision that is asked for, in place. Used in the building process only.

int8 is static (QDQ): products of bytes with ranges found on seeded inputs. ONNX Runtime's dynamic
int8 has no fast convolution on CPUs.
https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from bestiary.errors import KernelError

Inputs = Mapping[str, NDArray[np.generic]]
QUANTISED = ["Conv", "MatMul", "Gemm"]


def convert(
    graph: Path, precision: str, calibration: Sequence[Inputs], keep_float: Sequence[str]
) -> None:
    """Raises KernelError for an unknown precision."""
    known: dict[str, Callable[[], None]] = {
        "fp32": lambda: None,
        "bf16mix": lambda: None,  # whoever runs it rounds what goes into products
        "fp16": lambda: _to_fp16(graph),
        "int8": lambda: _to_int8(graph, calibration, keep_float),
    }
    if precision not in known:
        raise KernelError(f"no precision {precision!r} of images; known: {', '.join(known)}")
    known[precision]()


def _to_fp16(graph: Path) -> None:
    """For GPUs; inputs and outputs stay float32. Unmeasured: there was no device."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(graph)
    onnx.save(convert_float_to_float16(model, keep_io_types=True), graph)


def _to_int8(graph: Path, calibration: Sequence[Inputs], keep_float: Sequence[str]) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    logging.getLogger().setLevel(logging.ERROR)  # it tells of every node that it leaves
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(graph, prepared, skip_symbolic_shape=True)
        left = [
            node.name
            for node in onnx.load(prepared, load_external_data=False).graph.node
            if node.name.startswith(tuple(keep_float)) and keep_float
        ]
        quantize_static(
            prepared,
            graph,
            _Calibration(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTISED,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=left,
        )


class _Calibration:
    """What `quantize_static` reads: one dictionary of inputs at a time, then None."""

    def __init__(self, batches: Sequence[Inputs]) -> None:
        self._left: Iterator[Inputs] = iter(batches)

    def get_next(self) -> Inputs | None:
        return next(self._left, None)

    def __len__(self) -> int:
        return 1

    def set_range(self, start_index: int, end_index: int) -> None:
        """Of no use: there are few."""
