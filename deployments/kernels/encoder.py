"""An installed encoder -> an open one: built once, then only loaded.

Joins checkpoint, build cache, certificates, providers and sessions; knows nothing of requests.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from bestiary.garden import InstalledModel
from bestiary.profile.models import EncoderEngine
from bestiary.progress import Progress
from deployments.kernels.build_cache import BuildKey, kernel_cache
from deployments.kernels.encoder_certificate_file import require_tolerated
from deployments.kernels.encoder_names import BUILD_VERSION, ENCODER, Output
from deployments.kernels.encoder_runtime import (
    encoder_precision,
    encoder_provider,
    open_encoder_graph,
)
from deployments.kernels.encoder_session import (
    EncoderSession,
    EncoderText,
    Floats,
    OpenEncoderSession,
)
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import (
    CPU_ONLY,
    ProviderChoice,
    choose_providers,
    machine_probe,
)
from deployments.kernels.sessions import SessionSettings, open_session

LOG = logging.getLogger(__name__)

OPEN_ENCODER = "open-encoder"  # the kind of build that can be looked into


class OpenEncoder:
    """A fast session, and one that can be looked into, opened when somebody first asks.

    For one thread at a time.
    """

    def __init__(
        self, session: EncoderSession, look_into: Callable[[], OpenEncoderSession]
    ) -> None:
        self.session = session
        self._look_into = look_into
        self._open: OpenEncoderSession | None = None

    def run(self, texts: Sequence[EncoderText], output: Output, padded_to: int = 0) -> Floats:
        """See `EncoderSession.run`."""
        return self.session.run(texts, output, padded_to)

    def attention(self, text: EncoderText) -> Floats:
        """See `OpenEncoderSession.attention`. Raises KernelError where its graph does not build."""
        if self._open is None:
            self._open = self._look_into()
        return self._open.attention(text)


def prepare_encoder_kernel(
    model: InstalledModel, engine: EncoderEngine, home: Path, progress: Progress
) -> None:
    """Builds and certifies the graph that the engine asks for, where that was not done.

    Raises KernelError, see `encoder_build.build_encoder`; and for a build that is outside
    its card's tolerance, so that whoever starts the platform hears of it.
    """
    # Imported only to certify: a replica needs neither psutil nor tokenizers for its kernels.
    from deployments.kernels.encoder_certify import certify_encoder_once

    choice = choose_providers(machine_probe())
    precision = encoder_precision(engine.precision, choice)
    folder = _build_once(model, precision, home, progress)
    certify_encoder_once(model, _key(model, precision), kernel_cache(home), choice, progress)
    require_tolerated(model.card, precision, folder)


def open_encoder(
    model: InstalledModel,
    engine: EncoderEngine,
    threads: int,
    home: Path,
    progress: Progress,
    providers: ProviderChoice | None = None,
) -> OpenEncoder:
    """Builds where needed, then loads. `threads` 0: all cores; no `providers`: the best here.

    Raises KernelError; for a precision that this machine does not compute in too, and for a
    build that is outside its card's tolerance.
    """
    choice = providers or choose_providers(machine_probe())
    precision = encoder_precision(engine.precision, choice)
    folder = _build_once(model, precision, home, progress)
    require_tolerated(model.card, precision, folder)
    provider = encoder_provider(precision, choice)
    LOG.info("%s runs on %s: %s", model.card.id, provider, choice.reason)
    settings = SessionSettings(threads=threads)
    graph = open_encoder_graph(folder / GRAPH_FILE, precision, choice, settings)
    session = EncoderSession(graph)

    def look_into() -> OpenEncoderSession:
        graph = _build_open_once(model, home) / GRAPH_FILE
        # Few ask and their texts are short: the host is fast enough, wherever the rest runs.
        return OpenEncoderSession(open_session(graph, CPU_ONLY, settings))

    return OpenEncoder(session, look_into)


def _build_once(model: InstalledModel, precision: str, home: Path, progress: Progress) -> Path:
    def write(folder: Path) -> None:
        # Imported only to build: onnx costs a replica's start half a second.
        from deployments.kernels.encoder_build import build_encoder

        with progress.step(f"Building {model.card.id} in {precision}"):
            build_encoder(model.path, folder, precision)

    return kernel_cache(home).get_or_build(_key(model, precision), write)


def _build_open_once(model: InstalledModel, home: Path) -> Path:
    def write(folder: Path) -> None:
        from deployments.kernels.encoder_build import build_open_encoder

        build_open_encoder(model.path, folder)

    return kernel_cache(home).get_or_build(_key(model, "fp32", OPEN_ENCODER), write)


def _key(model: InstalledModel, precision: str, kind: str = ENCODER) -> BuildKey:
    return BuildKey(
        kind=kind, builder_version=BUILD_VERSION, revision=model.revision, precision=precision
    )
