"""An installed language model -> an open `DecoderSession`: built once, then only loaded.

Joins checkpoint, build cache, providers and session; knows nothing of requests.
"""

from __future__ import annotations

import logging
from pathlib import Path

import onnxruntime as ort

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.profile.models import TextEngine
from bestiary.progress import Progress
from deployments.kernels.adapter_memory import (
    AdapterLimits,
    AdapterMemory,
    DeviceAdapters,
    HostAdapters,
    adapter_shape,
)
from deployments.kernels.build_cache import BuildKey, kernel_cache
from deployments.kernels.decoder_names import BUILD_VERSION, Graph
from deployments.kernels.decoder_session import DecoderSession, pool_shape
from deployments.kernels.device_pool import DevicePool
from deployments.kernels.kv_pool import HostPool
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import ProviderChoice, choose_providers, machine_probe
from deployments.kernels.sessions import SessionSettings, open_session

LOG = logging.getLogger(__name__)

DEVICE_PRECISIONS = ("fp16", "bf16")
SMALLEST_POSITIONS = 8192  # so that one build serves every usual context


def build_decoder_once(
    model: InstalledModel,
    engine: TextEngine,
    home: Path,
    progress: Progress,
    *,
    adapters: bool = False,
) -> Path:
    """The folder with the model's graph at this precision, built where it is missing.

    `adapters`: whether rows can have some; how many and which is no part of the graph.
    Raises KernelError, see `decoder_build.build_decoder`.
    """
    positions = _positions(model, engine)
    options = [("positions", str(positions))]
    if adapters:
        options.append(("adapters", "by row"))
    key = BuildKey(
        kind="decoder",
        builder_version=BUILD_VERSION,
        revision=model.revision,
        precision=engine.precision,
        options=tuple(options),
    )

    def write(folder: Path) -> None:
        # Imported only to build: onnx costs a replica's start half a second.
        from deployments.kernels.decoder_build import build_decoder

        with progress.step(f"Building {model.card.id} in {engine.precision}"):
            build_decoder(model.path, folder, engine.precision, positions, adapters=adapters)

    return kernel_cache(home).get_or_build(key, write)


def open_decoder(
    model: InstalledModel,
    engine: TextEngine,
    threads: int,
    home: Path,
    progress: Progress,
    *,
    adapters: AdapterLimits | None = None,
) -> DecoderSession:
    """Builds where needed, then loads on the best provider. `threads` 0: all cores.

    With `adapters` the session has memory for as many; an `AdapterBank` fills it.
    Raises KernelError; for fp16 and bf16 on the CPU too, which only devices compute in.
    """
    choice = choose_providers(machine_probe())
    if choice.is_host and engine.precision in DEVICE_PRECISIONS:
        raise KernelError(
            f"{engine.precision} needs a GPU, and {choice.reason}; use int8 or fp32 here"
        )
    LOG.info("%s runs on %s: %s", model.card.id, choice.providers[0], choice.reason)
    settings = SessionSettings(threads=threads)

    def opened(precision: str) -> ort.InferenceSession:
        wanted = engine.model_copy(update={"precision": precision})
        takes_adapters = adapters is not None
        folder = build_decoder_once(model, wanted, home, progress, adapters=takes_adapters)
        return open_session(folder / GRAPH_FILE, choice, settings)

    session = opened(engine.precision)
    asked = {Graph.PREFILL: engine.prefill_precision, Graph.DRAFT: engine.draft_precision}
    others = {graph: opened(precision) for graph, precision in asked.items() if precision}
    shape = pool_shape(session, engine.slots, engine.context)
    pool = HostPool(shape) if choice.is_host else DevicePool(shape, "cuda", choice)
    memory = None if adapters is None else _adapter_memory(session, adapters, choice)
    return DecoderSession(session, pool, others, memory)


def _adapter_memory(
    session: ort.InferenceSession, limits: AdapterLimits, choice: ProviderChoice
) -> AdapterMemory:
    shape = adapter_shape(session, limits)
    LOG.info("%d adapters of rank %d take %d MB", limits.count, limits.rank, shape.bytes >> 20)
    return HostAdapters(shape) if choice.is_host else DeviceAdapters(shape, "cuda", choice)


def _positions(model: InstalledModel, engine: TextEngine) -> int:
    """What the rotary tables cover: the context, and more where the model allows it."""
    return max(engine.context, min(SMALLEST_POSITIONS, model.card.context_length))
