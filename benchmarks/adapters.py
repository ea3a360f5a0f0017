"""Eight tuned models at once: adapters in one batch beside the base alone and beside eight copies.

    python -m benchmarks.adapters [--precision auto] [--rounds 5] [--tokens 128]

SmolLM2-135M-Instruct with LoRA adapters of rank 16 on all linear layers (random weights: what they
say does not matter to the time). Three ways to answer eight streams:

    base       eight streams of the base model, on a build that takes no adapters
    adapters   eight streams of eight different adapters, one batch on one base model
    merged     eight models, each with an adapter merged into it, a stream each, in turn

and `base beside` is the base's streams on the build that takes adapters: what it costs whoever has
none. Wanted: adapters at 0.7 of the base or more. Rounds take turns; medians are told.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.step_profile import request
from benchmarks.text.engine_worker import CARD, replica_args
from bestiary.garden import Garden
from bestiary.profile.applications import ReplicaArgs
from bestiary.progress import Silent
from bestiary.settings import Settings
from deployments.text.engine import Engine, EngineOptions
from deployments.text.opening import OpenModel, open_model, prepare_model

RESULTS = Path(__file__).parent / "results"
STREAMS = 8
RANK = 16
WANTED = 0.7


@dataclass(frozen=True)
class Run:
    """One round of eight streams."""

    whole_s: float  # from the first prompt to the last token
    first_tokens_s: float  # until every stream had one
    step_ms: float  # median, all streams decoding


def adapter_folders(model_path: Path, scratch: Path) -> list[Path]:
    """Random adapters as peft saves them."""
    folders = []
    for number in range(STREAMS):
        torch.manual_seed(number)
        base = AutoModelForCausalLM.from_pretrained(model_path)
        config = LoraConfig(
            r=RANK,
            lora_alpha=2 * RANK,
            target_modules="all-linear",
            init_lora_weights=False,
            task_type="CAUSAL_LM",
        )
        folder = scratch / f"adapter-{number}"
        get_peft_model(base, config).save_pretrained(folder)
        folders.append(folder)
    return folders


def merged_home(model_path: Path, adapter: Path, home: Path) -> ReplicaArgs:
    """A garden whose only own card is the base with one adapter merged into it."""
    folder = home / "merged"
    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model_path), adapter)
    tuned.merge_and_unload().save_pretrained(folder)
    AutoTokenizer.from_pretrained(model_path).save_pretrained(folder)
    card = Garden(home).add(folder, card_id="merged")
    return replica_args(Settings().home, {}).model_copy(update={"card": card})


def opened(args: ReplicaArgs, home: Path) -> OpenModel:
    prepare_model(args, home, Silent())
    return open_model(args, home)


def with_options(args: ReplicaArgs, **options: object) -> ReplicaArgs:
    assert args.text is not None
    return args.model_copy(update={"text": args.text.model_copy(update=options)})


def engine_of(model: OpenModel) -> Engine:
    return Engine(model.decoder, model.tokenizer, (), EngineOptions(128, 64))


def in_one_batch(model: OpenModel, tokens: int, adapters: Sequence[Path] = ()) -> Run:
    engine = engine_of(model)
    for number in range(STREAMS):
        asked = request(number, tokens, 0.0)
        if adapters:
            assert model.adapters is not None
            lease = model.adapters.lease(f"adapter-{number}", adapters[number])
            asked = replace(asked, adapter=lease)
        engine.submit(number, asked)
    return timed([engine])


def in_turn(models: Sequence[OpenModel], tokens: int) -> Run:
    engines = [engine_of(model) for model in models]
    for number, engine in enumerate(engines):
        engine.submit(number, request(number, tokens, 0.0))
    return timed(engines)


def timed(engines: Sequence[Engine]) -> Run:
    began = time.perf_counter()
    waiting = list(engines)
    while waiting:
        for engine in waiting:
            engine.step()
        waiting = [one for one in waiting if one.load().waiting or one._scheduler.prefilling]
    first = time.perf_counter() - began
    steps = []
    while any(engine.load().running for engine in engines):
        start = time.perf_counter()
        for engine in engines:
            engine.step()
        steps.append(time.perf_counter() - start)
    return Run(time.perf_counter() - began, first, 1e3 * statistics.median(steps))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128)
    asked = parser.parse_args()
    console = Console()
    home = Settings().home
    plain = with_options(
        replica_args(home, {"precision": asked.precision, "speculate": 0}), slots=STREAMS
    )
    base_path = Garden(home).install(CARD).path
    with tempfile.TemporaryDirectory() as scratch:
        folders = adapter_folders(base_path, Path(scratch))
        base = opened(plain, home)
        multiplexed = opened(with_options(plain, adapter_slots=STREAMS, adapter_rank=RANK), home)
        alone = merged_home(base_path, folders[0], Path(scratch))
        one = with_options(plain, slots=1, prefix_cache_mb=0).model_copy(
            update={"card": alone.card}
        )
        # The same weights eight times: each copy is read from memory for its own stream.
        copies = [opened(one, Path(scratch)) for _ in range(STREAMS)]
        ways = {
            "base": lambda: in_one_batch(base, asked.tokens),
            "base beside": lambda: in_one_batch(multiplexed, asked.tokens),
            "adapters": lambda: in_one_batch(multiplexed, asked.tokens, folders),
            "merged": lambda: in_turn(copies, asked.tokens),
        }
        runs: dict[str, list[Run]] = {name: [] for name in ways}
        for _ in range(asked.rounds):
            for name, way in ways.items():
                runs[name].append(way())
    report(console, runs, asked.tokens, asked.precision)


def report(console: Console, runs: dict[str, list[Run]], tokens: int, precision: str) -> None:
    found = {
        name: {
            "tokens_per_s": statistics.median(STREAMS * tokens / run.whole_s for run in of),
            "first_tokens_ms": 1e3 * statistics.median(run.first_tokens_s for run in of),
            "step_ms": statistics.median(run.step_ms for run in of),
        }
        for name, of in runs.items()
    }
    base = found["base"]
    table = Table(
        "eight streams", "tokens/s", "of base", "first tokens, ms", "step, ms", "base step / step"
    )
    for name, row in found.items():
        table.add_row(
            name,
            f"{row['tokens_per_s']:.0f}",
            f"{row['tokens_per_s'] / base['tokens_per_s']:.2f}",
            f"{row['first_tokens_ms']:.0f}",
            f"{row['step_ms']:.1f}",
            f"{base['step_ms'] / row['step_ms']:.2f}",
        )
    ratio = found["adapters"]["tokens_per_s"] / base["tokens_per_s"]
    console.print(table)
    console.print(f"adapters over base: {ratio:.2f} (wanted: {WANTED})")
    record = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.processor() or platform.machine()}, {psutil.cpu_count()} cores",
        "card": CARD,
        "precision": precision,
        "rank": RANK,
        "streams": STREAMS,
        "tokens": tokens,
        "numpy": np.__version__,
        "found": found,
        "adapters_over_base": ratio,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "adapters.json").write_text(json.dumps(record, indent=1) + "\n")
    with (RESULTS / "adapters.txt").open("w") as file:
        Console(file=file, width=100).print(table)


if __name__ == "__main__":
    main()
