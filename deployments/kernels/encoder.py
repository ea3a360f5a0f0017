"""An installed encoder -> an open `EncoderSession`: built once, then only loaded.

Joins checkpoint, build cache, providers and session; knows nothing of requests.
"""

from __future__ import annotations

import logging
from pathlib import Path

from bestiary.garden import InstalledModel
from bestiary.profile.models import EncoderEngine
from bestiary.progress import Progress
from deployments.kernels.build_cache import BuildKey, kernel_cache
from deployments.kernels.encoder_names import BUILD_VERSION
from deployments.kernels.encoder_session import EncoderSession
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import ProviderChoice, choose_providers, machine_probe
from deployments.kernels.sessions import SessionSettings, open_session

LOG = logging.getLogger(__name__)


def build_encoder_once(
    model: InstalledModel, engine: EncoderEngine, home: Path, progress: Progress
) -> Path:
    """The folder with the model's graph at this precision, built where it is missing.

    Raises KernelError, see `encoder_build.build_encoder`.
    """
    key = BuildKey(
        kind="encoder",
        builder_version=BUILD_VERSION,
        revision=model.revision,
        precision=engine.precision,
    )

    def write(folder: Path) -> None:
        # Imported only to build: onnx costs a replica's start half a second.
        from deployments.kernels.encoder_build import build_encoder

        with progress.step(f"Building {model.card.id} in {engine.precision}"):
            build_encoder(model.path, folder, engine.precision)

    return kernel_cache(home).get_or_build(key, write)


def open_encoder(
    model: InstalledModel,
    engine: EncoderEngine,
    threads: int,
    home: Path,
    progress: Progress,
    providers: ProviderChoice | None = None,
) -> EncoderSession:
    """Builds where needed, then loads. `threads` 0: all cores; no `providers`: the best here.

    Raises KernelError.
    """
    folder = build_encoder_once(model, engine, home, progress)
    choice = providers or choose_providers(machine_probe())
    LOG.info("%s runs on %s: %s", model.card.id, choice.providers[0], choice.reason)
    session = open_session(folder / GRAPH_FILE, choice, SessionSettings(threads=threads))
    return EncoderSession(session)
