"""The text engine beside its peers, on SmolLM2-135M-Instruct, in one run.

    python -m benchmarks.text_engine [--quick] [--rounds 3] [--peers FOLDER]

All contenders stay up and are asked in turn, round after round; only one works at a
time. Figures are medians of the rounds, goals are ratios of a round's figures, median
of the rounds. The goals are printed last; exit status 0 says that all of them hold.
`--quick` takes under ten minutes and leaves out peers that have to be built;
`python -m benchmarks.text.peers FOLDER` makes them. Writes a table and a plot to
`benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.text import scenarios
from benchmarks.text.asking import Contender
from benchmarks.text.contenders import CHECKOUT, Worker, engine, llama_server, whole_stack
from benchmarks.text.scenarios import Figures, Prompts
from bestiary.garden import Garden
from bestiary.profile.load import load_profile
from bestiary.settings import Settings

CARD = "smollm2-135m-instruct"
GECKO = "smollm2-135m-fast"
PROFILE = CHECKOUT / "profiles" / "laptop.yaml"
WORKERS = CHECKOUT / "benchmarks" / "text"
RESULTS = CHECKOUT / "benchmarks" / "results"
STACK_PORT = 8930
ENGINE, EXACT, PLAIN, STACK = "engine", "engine fp32", "engine fp32, no speculation", "whole stack"
OPENVINO, VLLM = "OpenVINO int8", "vLLM bfloat16"

Rounds = dict[tuple[str, str], list[Figures]]  # (contender, question) -> a figure set per round


@dataclass(frozen=True)
class Question:
    name: str
    ask: Callable[[Contender, Prompts], Figures]
    of: Callable[[str], bool] = lambda name: name not in (EXACT, PLAIN)


def streams(count: int) -> Question:
    return Question(
        f"{count} streams",
        lambda contender, prompts: scenarios.throughput(contender, prompts, count),
    )


QUESTIONS = (
    streams(1),
    streams(4),
    streams(16),
    streams(32),
    Question("long prompt", scenarios.long_prompt),
    Question("shared prefix", scenarios.shared_prefix),
    Question("stall", scenarios.stall, of=lambda name: name in (ENGINE, OPENVINO)),
    Question("schema", scenarios.schema, of=lambda name: name == ENGINE),
    Question("copying", scenarios.copying, of=lambda name: name in (EXACT, PLAIN)),
    Question("other text", scenarios.inventing, of=lambda name: name in (EXACT, PLAIN)),
)


@dataclass(frozen=True)
class Goal:
    """`ratio` gives one number for a round, or None where a contender is missing."""

    what: str
    bound: float
    at_least: bool
    ratio: Callable[[Callable[[str, str, str], float]], float]

    def holds(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


def _against(
    ours: str, question: str, figure: str, peers: Sequence[str], best: Callable[..., float]
):  # type: ignore[no-untyped-def]
    def ratio(get: Callable[[str, str, str], float]) -> float:
        found = []
        for peer in peers:
            try:
                found.append(get(peer, question, figure))
            except KeyError:
                continue
        if not found:
            raise KeyError(peers[0])
        return get(ours, question, figure) / best(found)

    return ratio


LLAMA_SAME = ("llama-server Q8_0", "llama-server BF16", "llama-server Q4_1")
SPEED = "tokens_per_s"
GOALS = (
    Goal("1 stream, tokens/s, over the best llama-server", 1.15, True,
         _against(ENGINE, "1 streams", SPEED, LLAMA_SAME, max)),
    Goal("16 streams, tokens/s, over llama-server Q8_0", 2.0, True,
         _against(ENGINE, "16 streams", SPEED, LLAMA_SAME[:1], max)),
    Goal("16 streams, tokens/s, over OpenVINO GenAI int8", 1.0, True,
         _against(ENGINE, "16 streams", SPEED, (OPENVINO,), max)),
    Goal("1,000-token prompt, TTFT, over the best peer", 1.0, False,
         _against(ENGINE, "long prompt", "ttft_ms", (*LLAMA_SAME, OPENVINO, VLLM), min)),
    Goal("shared 500-token prefix, TTFT, second over first", 0.15, False,
         lambda get: get(ENGINE, "shared prefix", "second_ms")
         / get(ENGINE, "shared prefix", "first_ms")),
    Goal("p99 gap of 8 streams, with 1,000-token prompts over without", 3.0, False,
         lambda get: get(ENGINE, "stall", "beside_ms") / get(ENGINE, "stall", "alone_ms")),
    Goal("whole stack, 16 streams, tokens/s, over the engine", 0.9, True,
         _against(STACK, "16 streams", SPEED, (ENGINE,), max)),
    Goal("whole stack, 1 stream, tokens/s, over the engine", 0.9, True,
         _against(STACK, "1 streams", SPEED, (ENGINE,), max)),
    Goal("whole stack, 1 stream, ms of TTFT beyond the engine's", 10.0, False,
         lambda get: get(STACK, "1 streams", "ttft_ms") - get(ENGINE, "1 streams", "ttft_ms")),
    Goal("JSON schema, tokens/s, over free decoding", 0.9, True,
         lambda get: get(ENGINE, "schema", "held") / get(ENGINE, "schema", "free")),
    Goal("speculation, copied text, tokens/s, over without", 1.5, True,
         _against(EXACT, "copying", SPEED, (PLAIN,), max)),
    Goal("speculation, other text, tokens/s, over without", 0.97, True,
         _against(EXACT, "other text", SPEED, (PLAIN,), max)),
)  # fmt: skip


def contenders(
    stack: ExitStack, quick: bool, peers: Path | None, console: Console
) -> list[Contender]:
    home = Settings().home
    gecko = load_profile("laptop").deployments[GECKO].text
    assert gecko is not None
    options = gecko.model_dump(mode="json")

    def ours(name: str, quality: str, **changes: object) -> Worker:
        made = engine(name, quality, **{**options, **changes})
        stack.callback(made.stop)
        return made

    exact = {"precision": "fp32", "prefill_precision": None, "draft_precision": None}
    found: list[Contender] = [
        ours(ENGINE, str(gecko.precision)),
        ours(EXACT, "fp32", **exact),
        ours(PLAIN, "fp32", **exact, speculate=0),
        stack.enter_context(whole_stack(STACK_PORT, home, PROFILE)),
    ]
    if peers is None:
        return found

    def peer(name: str, quality: str, command: Sequence[str | Path]) -> None:
        """A peer that does not start is left out, and said to be."""
        try:
            found.append(made := Worker(name, quality, [str(part) for part in command]))
        except (RuntimeError, OSError) as error:
            console.print(f"{name} is left out: {error}")
        else:
            stack.callback(made.stop)

    python, worker = peers / "openvino" / "venv" / "bin" / "python", "openvino_worker.py"
    for weights in ("int8",) if quick else ("int8", "fp16"):
        folder = peers / "openvino" / weights
        if folder.exists():
            peer(f"OpenVINO {weights}", weights, [python, WORKERS / worker, folder])
    python, worker = peers / "vllm" / "venv" / "bin" / "python", "vllm_worker.py"
    if python.exists() and not quick:
        peer(VLLM, "bf16", [python, WORKERS / worker, Garden(home).install(CARD).path])
    binary = peers / "llama-server"
    if binary.exists() and not quick:
        for quality in ("Q8_0", "BF16", "Q4_1"):
            model = peers / f"{quality.lower()}.gguf"
            if model.exists():
                found.append(stack.enter_context(llama_server(binary, model, quality)))
    return found


def measure(found: Sequence[Contender], prompts: Prompts, rounds: int, console: Console) -> Rounds:
    figures: Rounds = defaultdict(list)
    for contender in found:
        scenarios.throughput(contender, prompts, 2)  # warm-up
    for number in range(rounds):
        for question in QUESTIONS:
            for contender in found:
                if question.of(contender.name):
                    told = question.ask(contender, prompts)
                    figures[contender.name, question.name].append(told)
        console.print(f"round {number + 1} of {rounds} done")
    return figures


def show_figures(figures: Rounds, found: Sequence[Contender], console: Console) -> None:
    for question in QUESTIONS:
        rows = {name: sets for (name, asked), sets in figures.items() if asked == question.name}
        if not rows:
            continue
        columns = list(next(iter(rows.values()))[0])
        table = Table(question.name, "quality", *columns)
        for contender in found:
            if contender.name in rows:
                sets = rows[contender.name]
                cells = (statistics.median(one[column] for one in sets) for column in columns)
                table.add_row(contender.name, contender.quality, *(f"{cell:.1f}" for cell in cells))
        console.print(table)
    memory = Table("contender", "resident MiB")
    for contender in found:
        memory.add_row(contender.name, f"{contender.memory_mib():.0f}")
    console.print(memory)


def show_goals(figures: Rounds, rounds: int, console: Console) -> bool:
    table = Table("goal", "wanted", "median", "min - max", "holds", title="Goals")
    all_hold = True
    for goal in GOALS:
        wanted = f"{'>=' if goal.at_least else '<='} {goal.bound:g}"
        try:
            values = [
                goal.ratio(lambda name, asked, figure, r=r: figures[name, asked][r][figure])
                for r in range(rounds)
            ]
        except (KeyError, IndexError):
            table.add_row(goal.what, wanted, "not measured", "", "-")
            continue
        median = statistics.median(values)
        holds = goal.holds(median)
        all_hold &= holds
        span = f"{min(values):.2f} - {max(values):.2f}"
        table.add_row(goal.what, wanted, f"{median:.2f}", span, "yes" if holds else "NO")
    console.print(table)
    return all_hold


def plot(figures: Rounds, found: Sequence[Contender], target: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(9, 5))
    counts = (1, 4, 16, 32)
    for contender in found:
        medians = [
            statistics.median(one[SPEED] for one in figures[contender.name, f"{n} streams"])
            for n in counts
            if (contender.name, f"{n} streams") in figures
        ]
        if medians:
            axis.plot(counts, medians, marker="o", label=contender.name)
    axis.set_xscale("log", base=2)
    axis.set_xticks(counts, [str(n) for n in counts])
    axis.set_xlabel("streams at once")
    axis.set_ylabel("tokens per second, prompts included")
    axis.set_title("SmolLM2-135M-Instruct, 64-token prompts, 64 new tokens")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.tight_layout()
    figure.savefig(target, dpi=120)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two rounds, no peers to build")
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--peers", type=Path, default=os.environ.get("BESTIARY_PEERS"))
    options = parser.parse_args()
    rounds = options.rounds or (2 if options.quick else 3)
    console = Console(record=True, width=120)
    prompts = Prompts(Garden(Settings().home).install(CARD).path)
    with ExitStack() as stack:
        found = contenders(stack, options.quick, options.peers and Path(options.peers), console)
        figures = measure(found, prompts, rounds, console)
        console.print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
                      f"{datetime.now(UTC):%Y-%m-%d}, medians of {rounds} rounds")  # fmt: skip
        show_figures(figures, found, console)
        RESULTS.mkdir(exist_ok=True)
        raw = {f"{name} | {asked}": sets for (name, asked), sets in figures.items()}
        (RESULTS / "text_engine.json").write_text(json.dumps(raw, indent=1) + "\n")
        plot(figures, found, RESULTS / "text_engine.png")
    all_hold = show_goals(figures, rounds, console)
    (RESULTS / "text_engine.txt").write_text(console.export_text())
    return 0 if all_hold else 1


if __name__ == "__main__":
    raise SystemExit(main())
