"""What the whole stack costs over a bare FastAPI + uvicorn app that does the same work.

    python benchmarks/gateway.py [--rounds 5] [--port 8900]

Starts both (HAProxy, gateway, router, Serve and a replica on one side; one process
with the same engine on the other), then measures them in turn, several rounds, and
prints medians and ratios. Both keep running throughout; only one works at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.load import Outcome, Target, run

CHECKOUT = Path(__file__).resolve().parents[1]
HI = [{"role": "user", "content": "Tell me a short story about a fox and a lighthouse."}]


@dataclass(frozen=True)
class Question:
    title: str
    path: str
    body: dict[str, object]
    clients: int
    requests: int
    figure: Callable[[Outcome], float]
    unit: str


def _requests_per_s(outcome: Outcome) -> float:
    return outcome.requests / outcome.seconds


def _events_per_s(outcome: Outcome) -> float:
    return outcome.events / outcome.seconds


def _first_byte_ms(outcome: Outcome) -> float:
    return statistics.median(outcome.first_byte_s) * 1e3


CHAT = "/v1/chat/completions"
STREAM = {"model": "gecko", "messages": HI, "max_tokens": 64, "temperature": 0, "stream": True}
QUESTIONS = (
    Question(
        "tokenize, 16 clients (no model run)", "/v1/tokenize",
        {"model": "gecko", "text": "Hello world"}, 16, 400, _requests_per_s, "requests/s",
    ),
    Question(
        "chat, 1 token, 8 clients", CHAT,
        {"model": "gecko", "messages": HI, "max_tokens": 1}, 8, 64, _requests_per_s, "requests/s",
    ),
    Question("16 streams of 64 tokens", CHAT, STREAM, 16, 16, _events_per_s, "chunks/s"),
    Question("1 stream of 64 tokens", CHAT, STREAM, 1, 2, _events_per_s, "chunks/s"),
    Question("1 stream, first byte", CHAT, {**STREAM, "max_tokens": 2}, 1, 8, _first_byte_ms, "ms"),
)  # fmt: skip


@contextmanager
def whole_stack(port: int, home: Path) -> Iterator[Target]:
    environment = {**os.environ, "BESTIARY_PORT": str(port), "BESTIARY_HOME": str(home)}
    command = [sys.executable, "-m", "bestiary.cli.main"]
    subprocess.run([*command, "up", "--detach", "--wait"], env=environment, check=True)
    try:
        key = (home / "key").read_text().strip()
        yield Target("whole stack", "127.0.0.1", port, key)
    finally:
        subprocess.run([*command, "down"], env=environment, check=True)


@contextmanager
def bare_app(port: int, home: Path) -> Iterator[Target]:
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "benchmarks.bare_app:app", "--port", str(port),
         "--log-level", "warning"],
        env={**os.environ, "BESTIARY_HOME": str(home)}, cwd=CHECKOUT,
    )  # fmt: skip
    try:
        _wait_for(f"http://127.0.0.1:{port}/healthz")
        yield Target("bare FastAPI", "127.0.0.1", port)
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url, timeout=2)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def measure(question: Question, target: Target) -> float:
    outcome = asyncio.run(
        run(target, question.path, question.body,
            clients=question.clients, requests=question.requests)
    )  # fmt: skip
    return question.figure(outcome)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--port", type=int, default=8900)
    home = Path(os.environ.get("BESTIARY_HOME", Path.home() / ".bestiary"))
    options = parser.parse_args()
    with whole_stack(options.port, home) as stack, bare_app(options.port + 1, home) as bare:
        table = Table("question", "unit", stack.name, bare.name, "ratio (median, min-max)")
        for question in QUESTIONS:
            measure(question, stack), measure(question, bare)  # warm-up
            pairs = [(measure(question, stack), measure(question, bare))
                     for _ in range(options.rounds)]  # fmt: skip
            ratios = [ours / theirs for ours, theirs in pairs]
            table.add_row(
                question.title, question.unit,
                *(f"{statistics.median(column):.1f}" for column in zip(*pairs, strict=True)),
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
            )  # fmt: skip
    console = Console()
    console.print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
                  f"medians of {options.rounds} alternating rounds")  # fmt: skip
    console.print(table)


if __name__ == "__main__":
    main()
