"""Which execution providers run a graph here: TensorRT before CUDA before CPU.

ONNX Runtime lists every provider it was compiled with, whether or not their
libraries are there, so the device and the libraries are probed first. Knows no graph.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

TENSORRT = "TensorrtExecutionProvider"
CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"

# The sonames that onnxruntime-gpu 1.31 is linked against.
# https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html#requirements
DRIVER_LIBRARY = "libcuda.so.1"
CUDA_LIBRARIES = ("libcudart.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcudnn.so.9")
TENSORRT_LIBRARIES = ("libnvinfer.so.10", "libnvonnxparser.so.10")

UNMEASURED = (
    "unmeasured: graphs, options and engine caches for CUDA and TensorRT were written and "
    "checked without a device"
)


@dataclass(frozen=True, slots=True)
class ProviderChoice:
    """`providers` in order of preference, as ONNX Runtime takes them; `reason` for people."""

    providers: tuple[str, ...]
    reason: str
    tensorrt: str = ""  # its version, where it is chosen and says so

    @property
    def is_host(self) -> bool:
        return self.providers[0] == CPU

    @property
    def builds_engines(self) -> bool:
        """Whether graphs are compiled for ranges of shapes, which takes minutes."""
        return self.providers[0] == TENSORRT


@dataclass(frozen=True, slots=True)
class Probe:
    """How the machine is asked; tests ask another one."""

    compiled: Callable[[], tuple[str, ...]]  # providers that ONNX Runtime was built with
    devices: Callable[[], int]  # CUDA devices that the driver shows
    preload: Callable[[], None]  # brings in CUDA libraries that lie in Python packages
    loads: Callable[[str], bool]  # whether a shared library loads
    tensorrt: Callable[[], str] = lambda: ""  # version of its library


CPU_ONLY = ProviderChoice((CPU,), "the CPU was asked for")


def choose_providers(probe: Probe) -> ProviderChoice:
    """The best providers that would work, and why not better ones."""
    compiled = probe.compiled()
    if CUDA not in compiled:
        return ProviderChoice((CPU,), "this ONNX Runtime was built without CUDA")
    devices = probe.devices()
    if devices == 0:
        return ProviderChoice((CPU,), "no CUDA device")
    probe.preload()
    missing = [name for name in CUDA_LIBRARIES if not probe.loads(name)]
    if missing:
        return ProviderChoice((CPU,), f"CUDA libraries are missing: {', '.join(missing)}")
    if TENSORRT not in compiled:
        return ProviderChoice((CUDA, CPU), f"{devices} CUDA device(s); built without TensorRT")
    missing = [name for name in TENSORRT_LIBRARIES if not probe.loads(name)]
    if missing:
        return ProviderChoice(
            (CUDA, CPU),
            f"{devices} CUDA device(s); TensorRT libraries are missing: {', '.join(missing)}",
        )
    found = probe.tensorrt()
    reason = f"{devices} CUDA device(s), TensorRT {found}".rstrip()
    return ProviderChoice((TENSORRT, CUDA, CPU), reason, found)


def machine_probe() -> Probe:
    """Asks this machine."""
    return Probe(
        compiled=_compiled,
        devices=_cuda_devices,
        preload=_preload,
        loads=_loads,
        tensorrt=_tensorrt_version,
    )


def _compiled() -> tuple[str, ...]:
    import onnxruntime as ort

    return tuple(ort.get_available_providers())


def _preload() -> None:
    import onnxruntime as ort

    ort.preload_dlls()  # those of torch's CUDA build or of the nvidia wheels


def _cuda_devices() -> int:
    """Through the driver itself: no toolkit, no torch. 0 where there is no driver."""
    try:
        driver = ctypes.CDLL(DRIVER_LIBRARY)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def _tensorrt_version() -> str:
    """As digits without points, 101300 for 10.13.0; nothing where the library does not say.

    https://docs.nvidia.com/deeplearning/tensorrt/latest/_static/c-api/namespacenvinfer1.html
    """
    try:
        return str(int(ctypes.CDLL(TENSORRT_LIBRARIES[0]).getInferLibVersion()))
    except (OSError, AttributeError):
        return ""


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
