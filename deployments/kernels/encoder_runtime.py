"""Which kernels an encoder's graph runs on, and the graph opened there.

On a CPU OpenVINO's, where they take it (Intel's only): on two cores with AMX they ran MiniLM's
mixed batches 1.3 times as fast in float32 as ONNX Runtime's own, and four times in bfloat16, which
those do not have at all (`benchmarks/encoder.py`). Bytes stay ONNX Runtime's. Knows no model.
"""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort

from bestiary.errors import KernelError
from deployments.kernels.openvino import (
    OPENVINO,
    machine_openvino_probe,
    open_on_openvino,
    why_no_bfloat16,
)
from deployments.kernels.precision_choice import AUTO, chosen_precision
from deployments.kernels.providers import ProviderChoice
from deployments.kernels.sessions import SessionSettings, open_session

BFLOAT16 = "bf16mix"
DEVICES_ONLY = ("fp16",)
PRODUCTS = {"fp32": "f32", BFLOAT16: "bf16"}  # OpenVINO's names for what it multiplies in


def encoder_precision(named: str, choice: ProviderChoice) -> str:
    """What `auto` is here. Raises KernelError for a precision that does not run here."""
    no_bfloat16 = why_no_bfloat16(machine_openvino_probe()) if choice.is_host else choice.reason
    if named == AUTO and not no_bfloat16:
        return BFLOAT16
    precision = chosen_precision(named, choice)
    if precision == BFLOAT16 and no_bfloat16:
        raise KernelError(f"{precision} does not run here: {no_bfloat16}; use fp32 or w8a16")
    if choice.is_host and precision in DEVICES_ONLY:
        raise KernelError(f"{precision} needs a GPU, and {choice.reason}; use fp32 or w8a16 here")
    return precision


def encoder_provider(precision: str, choice: ProviderChoice) -> str:
    """As ONNX Runtime calls it."""
    on_openvino = choice.is_host and precision in PRODUCTS and machine_openvino_probe().usable()
    return OPENVINO if on_openvino else choice.providers[0]


def open_encoder_graph(
    graph: Path, precision: str, choice: ProviderChoice, settings: SessionSettings
) -> ort.InferenceSession:
    """Raises KernelError where it does not load."""
    if encoder_provider(precision, choice) == OPENVINO:
        return open_on_openvino(graph, settings.threads, PRODUCTS[precision])
    return open_session(graph, choice, settings)
