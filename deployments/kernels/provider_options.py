"""What an execution provider is told beside its name: caches, precision, device.

Knows options and folders, no graph. None of it was ever run on a GPU here: names are those
that onnxruntime-gpu 1.31's libraries know, and what they gain is unmeasured.
https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html
https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from deployments.kernels.providers import CUDA, TENSORRT, ProviderChoice

Options = dict[str, str]

ENGINES = "tensorrt"  # folder within a build's
DEVICE = "0"  # Ray shows a replica only the devices that are its own
RUNTIME = "onnxruntime-gpu"
ON, OFF = "1", "0"


def session_providers(
    choice: ProviderChoice, build: Path, precision: str
) -> list[tuple[str, Options]]:
    """As `InferenceSession` takes them, for a graph that lies in the folder `build`.

    Makes the folder for TensorRT's engines where they are asked for.
    """
    told: dict[str, Options] = {CUDA: _cuda(precision)}
    if TENSORRT in choice.providers:
        told[TENSORRT] = _tensorrt(_engines(choice, build), precision)
    return [(name, told.get(name, {})) for name in choice.providers]


def copying_providers(choice: ProviderChoice) -> list[tuple[str, Options]]:
    """For graphs that only move bytes: nothing to build an engine of."""
    told: dict[str, Options] = {CUDA: {"device_id": DEVICE}}
    return [(name, told.get(name, {})) for name in choice.providers if name != TENSORRT]


def _tensorrt(engines: Path, precision: str) -> Options:
    engines.mkdir(parents=True, exist_ok=True)
    return {
        "device_id": DEVICE,
        # Building an engine takes minutes; it is kept by graph and by compute capability.
        "trt_engine_cache_enable": ON,
        "trt_engine_cache_path": str(engines),
        "trt_timing_cache_enable": ON,
        "trt_timing_cache_path": str(engines),
        # It computes in these only where it is told to, whatever the graph's type is.
        "trt_fp16_enable": ON if precision == "fp16" else OFF,
        "trt_bf16_enable": ON if precision == "bf16" else OFF,
        # Sums of squares leave fp16's range.
        "trt_layer_norm_fp32_fallback": ON if precision == "fp16" else OFF,
        # Attention is no operator of TensorRT, so a decoder is an engine or more a layer: they
        # run one after the other and can share what they compute in.
        "trt_context_memory_sharing_enable": ON,
    }


def _cuda(precision: str) -> Options:
    return {
        "device_id": DEVICE,
        # Replicas share a device: doubling the arena would take what another needs.
        "arena_extend_strategy": "kSameAsRequested",
        # TF32 keeps 10 bits of a float32's 23: whoever asks for fp32 wants them all.
        "use_tf32": OFF if precision == "fp32" else ON,
    }


def _engines(choice: ProviderChoice, build: Path) -> Path:
    """An engine runs on the versions that it was built with, and on no others."""
    return build / ENGINES / f"tensorrt-{choice.tensorrt or 'unknown'}-ort-{version(RUNTIME)}"
