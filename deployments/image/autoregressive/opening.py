"""An installed autoregressive model -> a running service: what is done before a first request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.profile.applications import ReplicaArgs
from bestiary.progress import Progress
from deployments.image.autoregressive.cache import CacheShape
from deployments.image.autoregressive.certified_pictures import pipeline_parity
from deployments.image.autoregressive.codes import PixelCodes
from deployments.image.autoregressive.engine import AutoregressiveEngine
from deployments.image.autoregressive.service import AutoregressiveService, Warmth
from deployments.image.limits import limits_of
from deployments.image.networks import open_networks, prepare_networks
from deployments.image.opening import engine_options
from deployments.image.refusals import facts_of
from deployments.kernels import image_names as names
from deployments.kernels.image_components import read_json
from deployments.kernels.image_session import Networks
from deployments.turn_loop import LoopLimits

GENERATION_FILE = "generation_config.json"
# Of keys and values, of all rows together; what is read at once needs as much again.
MOST_CACHE_BYTES = 2**30


def prepare(model: InstalledModel, args: ReplicaArgs, home: Path, progress: Progress) -> None:
    """Builds and certifies its graphs. Raises KernelError."""
    prepare_networks(model, args, home, progress, pipeline_parity(model, home))


def open_service(model: InstalledModel, args: ReplicaArgs, home: Path) -> AutoregressiveService:
    """Raises KernelError."""
    networks = open_networks(model, args, home)
    options, facts = engine_options(args), facts_of(model.card)
    length = facts.width * facts.height
    told = networks.facts(names.WRITER)
    if length > int(told["positions"]):
        raise KernelError(
            f"{model.card.id} has {told['positions']} positions; its card says "
            f"{facts.width}x{facts.height} pixels"
        )
    codes = PixelCodes(model.path, facts, int(told["vocabulary"]))
    rows = rows_within(networks, options.rows)
    return AutoregressiveService(
        model,
        AutoregressiveEngine(networks, length, codes.count, rows),
        codes,
        warmth_of(model.path),
        limits_of(options),
        LoopLimits(options.max_wait_ms / 1e3, args.queue.max_ongoing_requests),
    )


def rows_within(networks: Networks, rows: int) -> int:
    """So many that their keys and values fit, and one at least."""
    told = networks.facts(names.WRITER)
    shape = CacheShape(
        *(int(told[name]) for name in ("layers", "heads", "head_width", "positions"))
    )
    return max(1, min(rows, MOST_CACHE_BYTES // shape.row_bytes))


def warmth_of(folder: Path) -> Warmth:
    """As transformers' `generation_config.json` has it."""
    path = folder / GENERATION_FILE
    said: dict[str, Any] = read_json(path) if path.is_file() else {}
    temperature, top_k = said.get("temperature"), said.get("top_k")
    return Warmth(1.0 if temperature is None else float(temperature), int(top_k or 0))
