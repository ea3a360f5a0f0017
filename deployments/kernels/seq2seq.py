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
from deployments.kernels.tolerated import require_tolerated

LOG = logging.getLogger(__name__)
KIND = "seq2seq"  # of builds


def prepare_seq2seq(
    model: InstalledModel, engine: Seq2SeqEngine, home: Path, progress: Progress
) -> Path:
    """Builds and certifies the graphs that the engine asks for, where that was not done.

    Raises KernelError, see `seq2seq_build`; and for a build that is outside its card's
    tolerance, so that whoever starts the platform hears of it.
    """
    # Imported only to certify: a replica needs neither psutil nor tokenizers for its kernels.
    from deployments.kernels.seq2seq_certify import certify_seq2seq_once

    folder = build_seq2seq_once(model, engine.precision, home, progress)
    key = seq2seq_key(model, engine.precision)
    certify_seq2seq_once(model, key, kernel_cache(home), progress)
    require_tolerated(model.card, engine.precision, folder)
    return folder


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
    """Builds where needed, then loads. `threads` 0: all cores. Raises KernelError, and that for
    a build that is outside its card's tolerance too.

    On the CPU whatever there is beside it: a row's memory lies there, see `Seq2SeqSession`.
    """
    folder = build_seq2seq_once(model, engine.precision, home, progress)
    require_tolerated(model.card, engine.precision, folder)
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
        kind=KIND,
        builder_version=BUILD_VERSION,
        revision=model.revision,
        precision=precision,
    )
