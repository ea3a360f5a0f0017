"""An installed language model -> an open `DecoderSession`: built once, then only loaded.

Joins checkpoint, build cache, providers and session; knows nothing of requests.
"""

from __future__ import annotations

import logging
from pathlib import Path

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.profile.models import TextEngine
from bestiary.progress import Progress
from deployments.kernels.build_cache import BuildKey, kernel_cache
from deployments.kernels.decoder_names import BUILD_VERSION
from deployments.kernels.decoder_session import DecoderSession
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import CPU, ProviderChoice
from deployments.kernels.sessions import SessionSettings, open_session

LOG = logging.getLogger(__name__)

HOST_ONLY = ProviderChoice((CPU,), "decoders keep their KV pool in host memory")
SMALLEST_POSITIONS = 8192  # so that one build serves every usual context


def build_decoder_once(
    model: InstalledModel, engine: TextEngine, home: Path, progress: Progress
) -> Path:
    """The folder with the model's graph at this precision, built where it is missing.

    Raises KernelError, see `decoder_build.build_decoder`.
    """
    positions = _positions(model, engine)
    key = BuildKey(
        kind="decoder",
        builder_version=BUILD_VERSION,
        revision=model.revision,
        precision=engine.precision,
        options=(("positions", str(positions)),),
    )

    def write(folder: Path) -> None:
        # Imported only to build: onnx costs a replica's start half a second.
        from deployments.kernels.decoder_build import build_decoder

        with progress.step(f"Building {model.card.id} in {engine.precision}"):
            build_decoder(model.path, folder, engine.precision, positions)

    return kernel_cache(home).get_or_build(key, write)


def open_decoder(
    model: InstalledModel, engine: TextEngine, threads: int, home: Path, progress: Progress
) -> DecoderSession:
    """Builds where needed, then loads. `threads` 0: all cores.

    Runs on the CPU, wherever it is: a device would need a KV pool of its own. Raises
    KernelError, for fp16 too, which only devices compute in.
    """
    if engine.precision == "fp16":
        raise KernelError(f"fp16 needs a GPU, and {HOST_ONLY.reason}; use int8 or fp32")
    folder = build_decoder_once(model, engine, home, progress)
    LOG.info("%s runs on %s: %s", model.card.id, HOST_ONLY.providers[0], HOST_ONLY.reason)
    session = open_session(folder / GRAPH_FILE, HOST_ONLY, SessionSettings(threads=threads))
    return DecoderSession(session, slots=engine.slots, max_length=engine.context)


def _positions(model: InstalledModel, engine: TextEngine) -> int:
    """What the rotary tables cover: the context, and more where the model allows it."""
    return max(engine.context, min(SMALLEST_POSITIONS, model.card.context_length))
