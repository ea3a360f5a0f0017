"""An installed language model -> an open `DecoderSession`: built once, then only loaded.

Joins checkpoint, build cache, certificates, providers and session; knows nothing of requests.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.profile.models import TextEngine
from bestiary.progress import Progress
from deployments.kernels.adapter_memory import AdapterLimits
from deployments.kernels.build_cache import BuildKey, kernel_cache
from deployments.kernels.calibration import (
    IDENTITY,
    calibrate,
    is_calibrated,
    kept_calibration,
)
from deployments.kernels.decoder_load import Room, cannot_run, load_decoder
from deployments.kernels.decoder_names import BUILD_VERSION, Graph
from deployments.kernels.decoder_session import DecoderSession
from deployments.kernels.precision_choice import (
    AUTO,
    CALIBRATED,
    PROMPTS_ONLY,
    chosen_precision,
    chosen_prefill_precision,
    keeps_kv_in_bytes,
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
    _calibrate_once(model, engine, home, progress, choice)
    for graph, precision in _precisions(engine, choice).items():
        plan = _plan(model, engine, precision, home, choice, adapters=adapters)
        folder = _build_once(model, plan, home, progress)
        certify_once(model, plan.key, kernel_cache(home), choice, progress)
        _require_tolerated(model, graph, precision, folder)


def build_decoder_once(
    model: InstalledModel,
    engine: TextEngine,
    home: Path,
    progress: Progress,
    *,
    adapters: bool = False,
) -> Path:
    """The folder with the graph that decodes for the engine, built where it is missing.

    `auto` is what it means on this machine. `adapters`: whether rows can have some; how many
    and which is no part of the graph. Raises KernelError, see `decoder_build.build_decoder`.
    """
    choice = choose_providers(machine_probe())
    precision = chosen_precision(engine.precision, choice)
    plan = _plan(model, engine, precision, home, choice, adapters=adapters)
    return _build_once(model, plan, home, progress)


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
        plan = _plan(model, engine, precision, home, choice, adapters=adapters is not None)
        folder = _build_once(model, plan, home, progress)
        _require_tolerated(model, graph, precision, folder)
        if precision == PROMPTS_ONLY:
            prompts = folder
        else:
            builds[graph] = folder
    LOG.info("%s runs on %s: %s", model.card.id, choice.providers[0], choice.reason)
    room = Room(engine.slots, engine.context, adapters, engine.prefill_chunk)
    return load_decoder(builds, room, choice, threads, prompts)


@dataclass(frozen=True, slots=True)
class _Plan:
    """One build: what it is kept by, and what makes it."""

    key: BuildKey
    positions: int
    adapters: bool
    calibrated: bool
    kv_bytes: bool


def _plan(
    model: InstalledModel,
    engine: TextEngine,
    precision: str,
    home: Path,
    choice: ProviderChoice,
    *,
    adapters: bool,
) -> _Plan:
    """The same for whoever prepares and whoever opens: what is kept by then decides."""
    positions = _positions(model, engine)
    adapters = adapters and precision != PROMPTS_ONLY  # such a build never takes any
    kept = is_calibrated(model, kernel_cache(home))
    kv_bytes = keeps_kv_in_bytes(engine.kv_precision, engine.precision, choice)
    if kv_bytes and not kept:
        if engine.kv_precision != AUTO:
            raise KernelError(
                f"{model.card.id} was not calibrated, which keys and values in int8 need; "
                "kv_precision: float works without"
            )
        kv_bytes = False
    calibrated = kept and (kv_bytes or precision in CALIBRATED)
    options = [("positions", str(positions))]
    if adapters:
        options.append(("adapters", "read in place"))
    if calibrated:
        options.append(("calibration", IDENTITY))
    if kv_bytes:
        options.append(("kv", "int8"))
    key = BuildKey("decoder", BUILD_VERSION, model.revision, precision, tuple(options))
    return _Plan(key, positions, adapters, calibrated, kv_bytes)


def _build_once(model: InstalledModel, plan: _Plan, home: Path, progress: Progress) -> Path:
    """Raises KernelError, see `decoder_build.build_decoder`."""
    precision = plan.key.precision

    def write(folder: Path) -> None:
        # Imported only to build: onnx costs a replica's start half a second.
        from deployments.kernels.decoder_build import Writing, build_decoder, build_prompt_graph

        calibration = kept_calibration(model, kernel_cache(home)) if plan.calibrated else None
        writing = Writing(plan.positions, plan.adapters, calibration, plan.kv_bytes)
        build = build_prompt_graph if precision == PROMPTS_ONLY else build_decoder
        with progress.step(f"Building {model.card.id} in {precision}"):
            build(model.path, folder, precision, writing)

    return kernel_cache(home).get_or_build(plan.key, write)


def _calibrate_once(
    model: InstalledModel,
    engine: TextEngine,
    home: Path,
    progress: Progress,
    choice: ProviderChoice,
) -> None:
    """Where any graph of the engine can use it. What cannot be calibrated is built without."""
    uses = set(_precisions(engine, choice).values()) & CALIBRATED
    if not uses and not keeps_kv_in_bytes(engine.kv_precision, engine.precision, choice):
        return
    cache = kernel_cache(home)
    if is_calibrated(model, cache):
        return
    try:
        with progress.step(f"Calibrating {model.card.id}"):
            calibrate(model, cache)
    except KernelError as error:
        LOG.warning("%s is not calibrated: %s", model.card.id, error.message)


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


def _positions(model: InstalledModel, engine: TextEngine) -> int:
    """What the rotary tables cover: the context, and more where the model allows it."""
    return max(engine.context, min(SMALLEST_POSITIONS, model.card.context_length))
