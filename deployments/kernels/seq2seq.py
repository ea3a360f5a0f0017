"""An installed encoder-decoder -> an open `Seq2SeqSession`: built once, then only loaded.

Joins checkpoint, build cache, certificates, providers and session; knows nothing of requests.
"""

from __future__ import annotations

import logging
from pathlib import Path

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.profile.models import Seq2SeqEngine
from bestiary.progress import Progress
from deployments.kernels.build_cache import BuildKey, kernel_cache
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import CPU_ONLY, ProviderChoice
from deployments.kernels.seq2seq_names import BUILD_VERSION, DECODER, ENCODER
from deployments.kernels.seq2seq_session import Seq2SeqSession
from deployments.kernels.sessions import SessionSettings, open_session

LOG = logging.getLogger(__name__)


def prepare_seq2seq(
    model: InstalledModel, engine: Seq2SeqEngine, home: Path, progress: Progress
) -> Path:
    """Builds where that was not done. Raises KernelError, see `seq2seq_build`."""
    return build_seq2seq_once(model, engine.precision, home, progress)


def build_seq2seq_once(
    model: InstalledModel, precision: str, home: Path, progress: Progress
) -> Path:
    """The folder with the model's graphs at this precision, built where they are missing.

    Raises KernelError, see `seq2seq_build.build_seq2seq`.
    """

    def write(folder: Path) -> None:
        # Imported only to build: onnx costs a replica's start half a second.
        from deployments.kernels.seq2seq_build import build_seq2seq

        with progress.step(f"Building {model.card.id} in {precision}"):
            build_seq2seq(model.path, folder, precision)

    return kernel_cache(home).get_or_build(seq2seq_key(model, precision), write)


def open_seq2seq(
    model: InstalledModel, engine: Seq2SeqEngine, threads: int, home: Path, progress: Progress
) -> Seq2SeqSession:
    """Builds where needed, then loads. `threads` 0: all cores. Raises KernelError.

    On the CPU whatever there is beside it: a row's memory lies there, see `Seq2SeqSession`.
    """
    folder = build_seq2seq_once(model, engine.precision, home, progress)
    LOG.info("%s runs on %s", model.card.id, CPU_ONLY.providers[0])
    return load_seq2seq(folder, engine.max_target_tokens, threads)


def load_seq2seq(
    folder: Path, max_target: int, threads: int, choice: ProviderChoice = CPU_ONLY
) -> Seq2SeqSession:
    """The graphs in `folder`, for outputs of up to `max_target` tokens. Raises KernelError."""
    if not choice.is_host:
        raise KernelError("encoder-decoders run on the CPU here; no other memory is laid out")
    settings = SessionSettings(threads=threads)
    encoder, decoder = (
        open_session(folder / part / GRAPH_FILE, choice, settings) for part in (ENCODER, DECODER)
    )
    return Seq2SeqSession(encoder, decoder, max_target)


def seq2seq_key(model: InstalledModel, precision: str) -> BuildKey:
    return BuildKey(
        kind="seq2seq",
        builder_version=BUILD_VERSION,
        revision=model.revision,
        precision=precision,
    )
