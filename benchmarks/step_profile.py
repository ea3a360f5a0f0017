"""Where one decode step goes, at 1 and 16 rows: the model's operators, choosing, text.

    python -m benchmarks.step_profile [--precision int8] [--steps 64]

Runs the real engine on SmolLM2-135M-Instruct in this process, times its stages from
outside, then profiles the graph alone with ONNX Runtime's profiler.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
from rich.console import Console
from rich.table import Table

from benchmarks.text.engine_worker import CARD, END_IDS, replica_args
from bestiary.profile.models import TextEngine
from bestiary.progress import Silent
from bestiary.schemas.text import Sampling
from bestiary.settings import Settings
from deployments.kernels.decoder import build_decoder_once
from deployments.kernels.decoder_names import Graph
from deployments.kernels.decoder_session import DecoderSession, pool_shape
from deployments.kernels.kv_pool import HostPool
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import CPU_ONLY
from deployments.text import engine as engine_module
from deployments.text.engine import Engine, EngineOptions
from deployments.text.opening import open_model, prepare_model
from deployments.text.prepared import PreparedRequest

PROMPT = 64


class Timed:
    """Wraps functions and adds up the seconds spent in them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def wrap(self, name: str, function: Callable[..., object]) -> Callable[..., object]:
        def timed(*arguments: object, **keywords: object) -> object:
            began = time.perf_counter()
            try:
                return function(*arguments, **keywords)
            finally:
                self.seconds[name] += time.perf_counter() - began

        return timed


def request(seed: int, tokens: int, temperature: float) -> PreparedRequest:
    ids = np.random.default_rng(seed).integers(1000, 40000, PROMPT)
    sampling = Sampling(
        temperature=temperature, top_p=0.9, logit_bias=dict.fromkeys(END_IDS, -100.0)
    )
    return PreparedRequest(ids, sampling, tokens, seed, 1, 0.0, float("inf"))


def stages(precision: str, rows: int, steps: int, temperature: float) -> dict[str, float]:
    """Milliseconds of a step, by stage; medians over steps with all rows decoding."""
    home = Settings().home
    args = replica_args(home, {"precision": precision, "speculate": 0, "slots": 16})
    prepare_model(args, home, Silent())
    model = open_model(args, home)
    timed = Timed()
    decoder = model.decoder
    engine = Engine(decoder, model.tokenizer, (), EngineOptions(256, 64))
    plain_run, plain_choose = decoder.run, engine_module.choose
    decoder.run = timed.wrap("model", plain_run)  # type: ignore[method-assign]
    engine_module.choose = timed.wrap("choosing", plain_choose)  # type: ignore[assignment]
    engine._accept = timed.wrap("text", engine._accept)  # type: ignore[method-assign]
    for number in range(rows):
        engine.submit(number, request(number, steps + 8, temperature))
    while engine.load().waiting or engine._scheduler.prefilling:
        engine.step()
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(steps):
        timed.seconds.clear()
        began = time.perf_counter()
        engine.step()
        whole = time.perf_counter() - began
        for stage, seconds in timed.seconds.items():
            found[stage].append(seconds)
        found["rest"].append(whole - sum(timed.seconds.values()))
        found["whole step"].append(whole)
    engine_module.choose = plain_choose
    return {stage: 1e3 * statistics.median(values) for stage, values in found.items()}


def operators(precision: str, rows: int, steps: int) -> Counter[str]:
    """Microseconds of a run, by operator."""
    home = Settings().home
    args = replica_args(home, {"precision": precision})
    model = prepare_model(args, home, Silent())
    folder = build_decoder_once(model, TextEngine.model_validate({"precision": precision}),
                                home, Silent())  # fmt: skip
    options = ort.SessionOptions()
    options.enable_profiling = True
    options.intra_op_num_threads = 2
    with tempfile.TemporaryDirectory() as scratch:
        options.profile_file_prefix = f"{scratch}/run"
        session = ort.InferenceSession(folder / GRAPH_FILE, options, providers=CPU_ONLY.providers)
        decoder = DecoderSession(session, HostPool(pool_shape(session, 16, 512)))
        for row in range(rows):
            ids = np.random.default_rng(row).integers(1000, 40000, (1, PROMPT))
            decoder.run(row, ids, np.zeros(1, np.int32), Graph.PREFILL)
        past = np.full(rows, PROMPT, np.int32)
        for _ in range(steps):
            decoder.run(0, np.ones((rows, 1), np.int64), past)
        events = json.loads(Path(session.end_profiling()).read_text())
    runs = [e["ts"] for e in events if e.get("name") == "model_run"][-steps:]
    spent: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["ts"] >= runs[0] and "op_name" in event["args"]:
            spent[event["args"]["op_name"]] += event["dur"] / steps
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--steps", type=int, default=64)
    options = parser.parse_args()
    console = Console()
    for temperature, how in ((0.0, "greedy"), (0.8, "temperature 0.8, top-p 0.9")):
        table = Table("stage, ms", title=f"{CARD} {options.precision}, {how}")
        columns = [stages(options.precision, rows, options.steps, temperature) for rows in (1, 16)]
        for rows in (1, 16):
            table.add_column(f"B={rows}", justify="right")
            table.add_column("share", justify="right")
        for stage in ("model", "choosing", "text", "rest", "whole step"):
            cells = []
            for column in columns:
                share = column[stage] / column["whole step"]
                cells += [f"{column[stage]:.2f}", f"{share:.1%}"]
            table.add_row(stage, *cells)
        console.print(table)
    for rows in (1, 16):
        spent = operators(options.precision, rows, options.steps)
        whole = sum(spent.values())
        table = Table("operator", "us a run", "share", title=f"The graph at B={rows}")
        for name, micros in spent.most_common(10):
            table.add_row(name, f"{micros:.0f}", f"{micros / whole:.1%}")
        console.print(table)


if __name__ == "__main__":
    main()
