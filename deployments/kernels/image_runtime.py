"""Which kernels an image model's graphs run on, and a graph opened there.

On a CPU that multiplies in bfloat16 OpenVINO's do, when asked for that: on two cores with AMX a
UNet ran 1.6 to 2 times as fast as in float32 on ONNX Runtime's own, a VAE's decoder 2.5 to 3 times,
and rows had the same bits whatever was beside them. In float32 ONNX Runtime's are the faster ones.
Knows no model.
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
from deployments.kernels.precision_choice import AUTO, EXACT
from deployments.kernels.providers import ProviderChoice
from deployments.kernels.sessions import SessionSettings, open_session

BFLOAT16 = "bf16mix"
HALF = "fp16"


def image_precision(named: str, choice: ProviderChoice, *, chooses_codes: bool = False) -> str:
    """What `auto` is here. Raises KernelError for a precision that does not run here.

    `chooses_codes`: one draw that falls otherwise changes all that follow, so `auto` is exact.
    """
    no_bfloat16 = why_no_bfloat16(machine_openvino_probe()) if choice.is_host else choice.reason
    if named == AUTO:
        if chooses_codes:
            return EXACT
        if not choice.is_host:
            return HALF
        return EXACT if no_bfloat16 else BFLOAT16
    if named == BFLOAT16 and no_bfloat16:
        raise KernelError(f"{named} does not run here: {no_bfloat16}; use fp32")
    if named == HALF and choice.is_host:
        raise KernelError(f"{named} needs a GPU, and {choice.reason}; use auto or fp32 here")
    return named


def image_provider(precision: str, choice: ProviderChoice) -> str:
    """As ONNX Runtime calls it."""
    return OPENVINO if precision == BFLOAT16 else choice.providers[0]


def open_image_graph(
    graph: Path, precision: str, choice: ProviderChoice, settings: SessionSettings
) -> ort.InferenceSession:
    """Raises KernelError where it does not load."""
    if precision == BFLOAT16:
        return open_on_openvino(graph, settings.threads)
    return open_session(graph, choice, settings)
