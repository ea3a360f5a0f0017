"""An installed language model -> an open `DecoderSession`: built once, then only loaded.

Joins checkpoint, build cache, certificates, providers and session; knows nothing of requests.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.profile.models import TextEngine
from bestiary.progress import Progress
from deployments.kernels.adapter_memory import AdapterLimits
from deployments.kernels.build_cache import BuildKey, kernel_cache
from deployments.kernels.decoder_load import Room, cannot_run, load_decoder
from deployments.kernels.decoder_names import BUILD_VERSION, Graph
from deployments.kernels.decoder_session import DecoderSession
from deployments.kernels.precision_choice import (
    PROMPTS_ONLY,
    chosen_precision,
    chosen_prefill_precision,
)
from deployments.kernels.providers import ProviderChoice, choose_providers, machine_probe
from deployments.kernels.tolerated import require_tolerated

LOG = logging.getLogger(__name__)

SMALLEST_POSITIONS = 8192  # so that one build serves every usual context


def prepare_decoder(
    model: InstalledModel,
    engine: TextEngine,
    home: Path,
    progress: Progress,
    *,
    adapters: bool = False,
) -> None:
    """Builds and certifies every graph that the engine asks for, where that was not done.

    Raises KernelError, see `decoder_build.build_decoder`; and for a build that is outside
    its card's tolerance, so that whoever starts the platform hears of it.
    """
    # Imported only to certify: a replica needs neither psutil nor tokenizers for its kernels.
    from deployments.kernels.certify import certify_once

    choice = choose_providers(machine_probe())
    for graph, precision in _precisions(engine, choice).items():
        wanted = engine.model_copy(update={"precision": precision})
        folder = build_decoder_once(model, wanted, home, progress, adapters=adapters)
        key = _key(model, wanted, adapters)
        certify_once(model, key, kernel_cache(home), choice, progress)
        _require_tolerated(model, graph, precision, folder)


def build_decoder_once(
    model: InstalledModel,
    engine: TextEngine,
    home: Path,
    progress: Progress,
    *,
    adapters: bool = False,
) -> Path:
    """The folder with the model's graph at this precision, built where it is missing.

    `auto` is what it means on this machine. `adapters`: whether rows can have some; how many
    and which is no part of the graph. A build that only reads prompts never takes any.
    Raises KernelError, see `decoder_build.build_decoder`.
    """
    precision = chosen_precision(engine.precision, choose_providers(machine_probe()))
    engine = engine.model_copy(update={"precision": precision})
    positions = _positions(model, engine)

    def write(folder: Path) -> None:
        # Imported only to build: onnx costs a replica's start half a second.
        from deployments.kernels.decoder_build import build_decoder, build_prompt_graph

        with progress.step(f"Building {model.card.id} in {engine.precision}"):
            if engine.precision == PROMPTS_ONLY:
                build_prompt_graph(model.path, folder, engine.precision, positions)
            else:
                build_decoder(model.path, folder, engine.precision, positions, adapters=adapters)

    return kernel_cache(home).get_or_build(_key(model, engine, adapters), write)


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
    Raises KernelError; for fp16 and bf16 on the CPU too, which only devices compute in, and
    for a build that is outside its card's tolerance.
    """
    choice = choose_providers(machine_probe())
    builds: dict[Graph, Path] = {}
    prompts: Path | None = None
    for graph, precision in _precisions(engine, choice).items():
        reason = cannot_run(precision, choice)
        if reason:
            raise KernelError(reason)
        wanted = engine.model_copy(update={"precision": precision})
        takes_adapters = adapters is not None
        folder = build_decoder_once(model, wanted, home, progress, adapters=takes_adapters)
        _require_tolerated(model, graph, precision, folder)
        if precision == PROMPTS_ONLY:
            prompts = folder
        else:
            builds[graph] = folder
    LOG.info("%s runs on %s: %s", model.card.id, choice.providers[0], choice.reason)
    room = Room(engine.slots, engine.context, adapters)
    return load_decoder(builds, room, choice, threads, prompts)


def _precisions(engine: TextEngine, choice: ProviderChoice) -> Mapping[Graph, str]:
    precision = chosen_precision(engine.precision, choice)
    asked = {
        Graph.DECODE: precision,
        Graph.PREFILL: chosen_prefill_precision(engine.prefill_precision, precision, choice),
        Graph.DRAFT: engine.draft_precision,
    }
    return {graph: precision for graph, precision in asked.items() if precision is not None}


def _require_tolerated(model: InstalledModel, graph: Graph, precision: str, folder: Path) -> None:
    # What a draft guesses is checked by the graph that decodes: it cannot show.
    if graph is not Graph.DRAFT:
        require_tolerated(model.card, precision, folder)


def _key(model: InstalledModel, engine: TextEngine, adapters: bool) -> BuildKey:
    options = [("positions", str(_positions(model, engine)))]
    if adapters and engine.precision != PROMPTS_ONLY:
        options.append(("adapters", "by row"))
    return BuildKey(
        kind="decoder",
        builder_version=BUILD_VERSION,
        revision=model.revision,
        precision=engine.precision,
        options=tuple(options),
    )


def _positions(model: InstalledModel, engine: TextEngine) -> int:
    """What the rotary tables cover: the context, and more where the model allows it."""
    return max(engine.context, min(SMALLEST_POSITIONS, model.card.context_length))
