"""An installed language model -> an open `DecoderSession`: built once, then only loaded.

Joins checkpoint, build cache, providers and session; knows nothing of requests.
"""

from __future__ import annotations

from pathlib import Path

from bestiary.garden import InstalledModel
from bestiary.profile.models import TextEngine
from bestiary.progress import Progress
from deployments.kernels.build_cache import BuildKey, kernel_cache
from deployments.kernels.decoder_names import BUILD_VERSION
from deployments.kernels.decoder_session import DecoderSession
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import ProviderChoice, choose_providers, machine_probe
from deployments.kernels.sessions import SessionSettings, open_session

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
    model: InstalledModel,
    engine: TextEngine,
    threads: int,
    home: Path,
    progress: Progress,
    providers: ProviderChoice | None = None,
) -> DecoderSession:
    """Builds where needed, then loads. `threads` 0: all cores; no `providers`: the best here.

    Raises KernelError.
    """
    folder = build_decoder_once(model, engine, home, progress)
    choice = providers or choose_providers(machine_probe())
    session = open_session(folder / GRAPH_FILE, choice, SessionSettings(threads=threads))
    return DecoderSession(session, slots=engine.slots, max_length=engine.context)


def _positions(model: InstalledModel, engine: TextEngine) -> int:
    """What the rotary tables cover: the context, and more where the model allows it."""
    return max(engine.context, min(SMALLEST_POSITIONS, model.card.context_length))
