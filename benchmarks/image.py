"""The diffusion engine beside diffusers in torch, on the same weights, in one run.

    python -m benchmarks.image [--quick] [--rounds 3] [--peers FOLDER]

Three contenders, each behind HTTP in a process of its own, all up at once and asked in turn: our
engine, diffusers behind a plain FastAPI, diffusers behind LitServe with its batching. For each use
case: one, four and sixteen clients; then eight requests all at once, staggered, and with mixed step
counts. Figures are medians of the rounds, goals are ratios of a round's figures, median of the
rounds. The goals come last; exit status 0 says that all of them hold. Where the zoo's models are
not installed, random weights of their shapes are used for speed, and quality is left out.
`python -m benchmarks.images.peers FOLDER` makes the peers' environment. Writes a table and a plot
to `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.images import quality
from benchmarks.images.asking import Contender, Figures
from benchmarks.images.models import (
    ENCODER,
    ENLARGING,
    FAST,
    TEXT,
    UNCONDITIONAL,
    BenchmarkModel,
    models,
)
from benchmarks.images.wire import TASKS, Wish, wish
from bestiary.garden import Garden
from bestiary.settings import Settings

RESULTS = Path(__file__).parent / "results"
PORT = 8970
PRECISION = "auto"  # what a profile has that says nothing
ENGINE, FASTAPI, LITSERVE = "engine", "FastAPI", "LitServe"
PEERS = (FASTAPI, LITSERVE)
STEPS = 20
MIXED = (8, 12, 16, 20, 24, 28, 36, 50)
FEW, MANY = 4, 50
GUIDANCE = 3.0
BURST = 8
STAGGER_S = 0.03  # between arrivals: less than any contender takes for a picture of 20 steps

Get = Callable[[str, str, str], float]  # contender, question, figure; KeyError: not asked


@dataclass(frozen=True)
class Question:
    name: str
    ask: Callable[[Contender], Figures]


@dataclass(frozen=True)
class Goal:
    what: str
    bound: float
    at_least: bool
    ratio: Callable[[Get], float]

    def holds(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


def clients(task: str, count: int, each: int) -> Question:
    wishes = [wish(task, seed, STEPS) for seed in range(count * each)]
    return Question(f"{task}, {count} clients", lambda one: one.closed_loop(wishes, clients=count))


def burst(name: str, wishes: Sequence[Wish], gap_s: float = 0.0) -> Question:
    return Question(name, lambda one: one.arriving(wishes, gap_s))


def mixed(task: str) -> list[Wish]:
    return [wish(task, seed, steps) for seed, steps in enumerate(MIXED)]


def equal(task: str, steps: int = STEPS, guidance: float = 1.0) -> list[Wish]:
    return [wish(task, seed, steps, guidance) for seed in range(BURST)]


def questions(quick: bool) -> list[Question]:
    tasks = ("unconditional", "text-to-image") if quick else TASKS
    found = [
        clients(task, count, each) for task in tasks for count, each in ((1, 4), (4, 2), (16, 1))
    ]
    for task in ("unconditional", "text-to-image"):
        found.append(burst(f"{task}, 8 at once", equal(task)))
        found.append(burst(f"{task}, 8 staggered", equal(task), STAGGER_S))
        found.append(burst(f"{task}, 8 of mixed steps", mixed(task)))
    found.append(burst("text-to-image, 8 guided", equal("text-to-image", guidance=GUIDANCE)))
    return found


def _over(
    question: str, figure: str, best: Callable[[list[float]], float]
) -> Callable[[Get], float]:
    """Ours over the better peer's."""

    def ratio(get: Get) -> float:
        return get(ENGINE, question, figure) / best([get(peer, question, figure) for peer in PEERS])

    return ratio


def _times_faster(question: str) -> Callable[[Get], float]:
    def ratio(get: Get) -> float:
        theirs = min(get(peer, question, "p50_ms") for peer in PEERS)
        return theirs / get(ENGINE, question, "p50_ms")

    return ratio


GOALS = (
    *(
        Goal(f"one picture, {task}, times faster than torch", 2.0, True,
             _times_faster(f"{task}, 1 clients"))
        for task in ("unconditional", "text-to-image")
    ),
    *(
        Goal(f"8 {how}, {task}, images/s over the better peer's", bound, True,
             _over(f"{task}, 8 {how}", "images_per_s", max))
        for task in ("unconditional", "text-to-image")
        for how, bound in (("at once", 1.4), ("staggered", 2.0), ("of mixed steps", 2.0))
    ),
    Goal("8 guided, two evaluations a step, cost over unguided", 1.7, False, lambda get:
         get(ENGINE, "text-to-image, 8 at once", "images_per_s")
         / get(ENGINE, "text-to-image, 8 guided", "images_per_s")),
)  # fmt: skip


def contenders(found: dict[str, BenchmarkModel], scratch: Path, peers: Path) -> list[Contender]:
    encoder = Garden(Settings().home).install(ENCODER).path
    folders = [str(found[name].model.path) for name in (UNCONDITIONAL, TEXT, ENLARGING)]
    args = [*folders, str(encoder)]
    ours = Path(sys.executable)
    return [
        Contender(ENGINE, ours, "benchmarks.images.engine_worker", PORT, [str(scratch), PRECISION]),
        Contender(FASTAPI, ours, "benchmarks.images.fastapi_worker", PORT + 1, args),
        Contender(
            LITSERVE, peers / "bin/python", "benchmarks.images.litserve_worker", PORT + 2, args
        ),
    ]


def run(
    there: Sequence[Contender], asked: Sequence[Question], rounds: int, console: Console
) -> dict[tuple[str, str], list[Figures]]:
    found: dict[tuple[str, str], list[Figures]] = defaultdict(list)
    for number in range(rounds):
        for question in asked:
            for one in there:
                figures = question.ask(one)
                found[one.name, question.name].append(figures)
                console.print(
                    f"round {number + 1}: {question.name}: {one.name} "
                    f"{figures.images_per_s:.2f} images/s, p50 {figures.p50_ms:.0f} ms"
                )
    return found


def table(found: dict[tuple[str, str], list[Figures]]) -> Table:
    shown = Table("question", "contender", "images/s", "p50 ms", "p99 ms")
    for name in dict.fromkeys(question for _, question in found):
        for contender in (ENGINE, *PEERS):
            rounds = found[contender, name]
            shown.add_row(
                name,
                contender,
                f"{statistics.median(one.images_per_s for one in rounds):.2f}",
                f"{statistics.median(one.p50_ms for one in rounds):.0f}",
                f"{statistics.median(one.p99_ms for one in rounds):.0f}",
            )
    return shown


def goal_values(found: dict[tuple[str, str], list[Figures]]) -> list[tuple[Goal, float]]:
    rounds = len(next(iter(found.values())))

    def of_round(number: int) -> Get:
        return lambda contender, question, figure: float(
            getattr(found[contender, question][number], figure)
        )

    return [
        (goal, statistics.median(goal.ratio(of_round(number)) for number in range(rounds)))
        for goal in GOALS
    ]


def quality_goals(points: Sequence[quality.Point]) -> list[tuple[Goal, float]]:
    """Of cost per picture, from the same run's receipts."""
    many = next(one for one in points if (one.what, one.steps) == ("ddim", MANY))
    few = next(
        (one for one in points if (one.what, one.steps) == ("distilled", FEW)),
        next(one for one in points if (one.what, one.steps) == ("dpm++", FEW)),
    )
    every = next(one for one in points if "every 2nd" in one.what)
    loss = (
        f"{few.psnr:.1f} dB from {quality.REFERENCE_STEPS} steps, {MANY} DDIM steps {many.psnr:.1f}"
    )
    if few.score is not None and many.score is not None:
        loss += f"; score {few.score:.3f} against {many.score:.3f}"
    nothing: Callable[[Get], float] = lambda get: 0.0  # noqa: E731 - they have a value already
    return [
        (
            Goal(f"{few.what} {FEW} steps, times cheaper than {MANY} DDIM ({loss})", 5.0, True,
                 nothing),
            many.seconds / few.seconds,
        ),
        (
            Goal(f"guided at every 2nd step, evaluations over unguided ({every.psnr:.1f} dB)",
                 1.7, False, nothing),
            every.evaluations / MANY,
        ),
    ]  # fmt: skip


def service_for_quality(one: BenchmarkModel):  # type: ignore[no-untyped-def]
    from benchmarks.images.engine_worker import service

    return service(one, PRECISION)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two use cases, one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="questions whose name has this; writes nothing")
    parser.add_argument("--peers", type=Path, default=Path("/tmp/image-peers"))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))  # contenders end too
    console = Console(width=120)
    scratch = Path(tempfile.mkdtemp(prefix="bestiary-image-benchmark-"))
    known = models(Settings().home, scratch)
    for name, one in known.items():
        console.print(f"{name}: {'trained' if one.trained else 'random weights of its shape'}")
    there: list[Contender] = []
    try:
        there = contenders(known, scratch, options.peers)
        for one in there:
            one.wait(wish("text-to-image", 0, 2))
            one.wait(wish("unconditional", 0, 2))
        asked = [one for one in questions(options.quick) if options.only in one.name]
        found = run(there, asked, 1 if options.quick else options.rounds, console)
    finally:
        for one in there:
            one.stop()
    if options.only:
        console.print(table(found))
        return 0
    goals = goal_values(found)
    points: list[quality.Point] = []
    if known[TEXT].trained:
        fast = service_for_quality(known[FAST]) if FAST in known else None
        points = quality.measured(service_for_quality(known[TEXT]), fast)
        quality.plot(points, RESULTS / "image_quality.png")
        goals += quality_goals(points)
    return report(console, known, found, points, goals)


def report(
    console: Console,
    known: dict[str, BenchmarkModel],
    found: dict[tuple[str, str], list[Figures]],
    points: Sequence[quality.Point],
    goals: Sequence[tuple[Goal, float]],
) -> int:
    RESULTS.mkdir(exist_ok=True)
    machine = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "cpus": os.cpu_count(),
        "trained": {name: one.trained for name, one in known.items()},
    }
    said = {
        "machine": machine,
        "figures": {
            f"{contender}: {name}": [asdict(one) for one in rounds]
            for (contender, name), rounds in found.items()
        },
        "quality": [asdict(one) for one in points],
        "goals": {goal.what: round(value, 3) for goal, value in goals},
    }
    (RESULTS / "image.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    shown = Table("goal", "bound", "measured", "")
    for goal, value in goals:
        sign = ">=" if goal.at_least else "<="
        shown.add_row(
            goal.what, f"{sign} {goal.bound}", f"{value:.2f}", "yes" if goal.holds(value) else "NO"
        )
    with (RESULTS / "image.txt").open("w", encoding="utf-8") as file:
        written = Console(file=file, width=120)
        for out in (console, written):
            out.print(machine)
            out.print(table(found))
            out.print(shown)
    return 0 if all(goal.holds(value) for goal, value in goals) else 1


if __name__ == "__main__":
    sys.exit(main())
