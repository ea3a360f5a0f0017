"""OpenVINO as an execution provider: a plugin of ONNX Runtime that multiplies in bfloat16 on CPUs.

ONNX Runtime's own CPU kernels have no bfloat16, and their attention computes what
causality masks; OpenVINO's use AMX and do not. It takes a graph whole or
not at all here: a graph that was split between both would copy at every border.
https://onnxruntime.ai/docs/execution-providers/plugin-ep-libraries/usage.html
"""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from bestiary.errors import KernelError
from deployments.kernels.sessions import LOG_ERRORS_ONLY, cpu_flags

OPENVINO = "OpenVINOExecutionProvider"
PACKAGE = "onnxruntime_ep_openvino"
# Of /proc/cpuinfo. AVX512-BF16 alone would do too; whether its bits are independent of how a
# prompt was cut, as AMX's are, nobody has measured.
BFLOAT16_FLAG = "amx_bf16"


@dataclass(frozen=True, slots=True)
class OpenVinoProbe:
    """How the machine is asked; tests ask another one."""

    flags: Callable[[], frozenset[str]]  # of the CPU
    usable: Callable[[], bool]  # the plugin is installed and takes this CPU


def machine_openvino_probe() -> OpenVinoProbe:
    """Asks this machine."""
    return OpenVinoProbe(cpu_flags, lambda: bool(_cpu_devices()))


def why_no_bfloat16(probe: OpenVinoProbe) -> str:
    """Why this machine's CPU does not multiply in bfloat16, for people; nothing where it does."""
    if BFLOAT16_FLAG not in probe.flags():
        return f"the CPU has no {BFLOAT16_FLAG}"
    if not probe.usable():
        return "onnxruntime-ep-openvino is not installed, or does not take this CPU"
    return ""


def open_on_openvino(graph: Path, threads: int, products: str = "bf16") -> ort.InferenceSession:
    """Opens a graph with `products` in bfloat16, or in `f32`. `threads` 0: as many as OpenVINO
    sees fit.

    Raises KernelError where the graph does not load, or not all of it runs there.
    """
    options = ort.SessionOptions()
    options.log_severity_level = LOG_ERRORS_ONLY
    # ONNX Runtime would fold the casts of half weights into float32 ones before OpenVINO sees them.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    settings = {
        "INFERENCE_PRECISION_HINT": products,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        # Other replicas are on this machine too: their threads would be pinned to the same cores.
        "ENABLE_CPU_PINNING": "NO",
    }
    if threads:
        settings["INFERENCE_NUM_THREADS"] = str(threads)
    try:
        options.add_provider_for_devices(
            _cpu_devices(), {"load_config": json.dumps({"CPU": settings})}
        )
        return ort.InferenceSession(graph, options)
    except Exception as error:  # ORT's own errors share no other base
        raise KernelError(f"OpenVINO cannot load {graph}: {error}") from error


@functools.cache
def _cpu_devices() -> list[ort.OrtEpDevice]:
    """Registers the plugin with ONNX Runtime, once for the process; none where it is missing.

    It offers itself for Intel's CPUs only: on an AMD EPYC there are none.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        return []
    import onnxruntime_ep_openvino as plugin

    ort.register_execution_provider_library(PACKAGE, plugin.get_library_path())
    devices = [device for device in ort.get_ep_devices() if device.ep_name == OPENVINO]
    return [device for device in devices if device.ep_metadata.get("ov_device") == "CPU"]
