"""How fast is the encoder-decoder engine beside transformers' `generate`, on the same weights?

    python -m benchmarks.seq2seq [--rounds 5] [--threads 0] [--tokens 32]

The T5 for titles, greedy and with four beams, one text at a time and eight at once. Every
output is made `--tokens` long, so that all contenders do the same work; tokenizing is left out,
Serve too. Rounds are interleaved, medians count. Prints generated tokens per second and writes
`benchmarks/results/seq2seq.json` and `.txt`. Ends with 1 where fp32 finds other tokens than
transformers does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer
from transformers import T5ForConditionalGeneration
from transformers.utils import logging as transformers_logging

from bestiary.garden import Garden, InstalledModel
from bestiary.progress import Silent
from bestiary.schemas.seq2seq import Decoding
from bestiary.settings import Settings
from deployments.kernels.seq2seq import build_seq2seq_once, load_seq2seq
from deployments.seq2seq.engine import Job, Seq2SeqEngine
from deployments.seq2seq.model_defaults import read_defaults
from deployments.seq2seq.plan import Limits, Plan, plan

CARD = "t5-small-titles"
RESULTS = Path(__file__).parent / "results"
REFERENCE = "transformers fp32"
PRECISIONS = ("fp32", "int8", "w8a16")
SLOTS = 32
GOAL = 2.0  # times transformers
TEXTS = (
    "The city council voted on Tuesday to approve a new bicycle lane network that will connect "
    "the university with the central railway station. Construction is expected to begin in March "
    "and cost about four million euros.",
    "Researchers at the marine institute have found that coral reefs in cooler water recover "
    "twice as fast after bleaching. The study followed forty reefs for nine years.",
    "The bakery on the corner closes after sixty years because nobody wants to take it over.",
    "The login page throws an error when the password has an accent. The hash function encoded "
    "it as ASCII; it encodes UTF-8 now, a test was added, and all tests pass.",
    "Two hundred years of log books from one lighthouse say more about the climate of this coast "
    "than any model, say historians who have read every line of them.",
    "A train with ninety passengers stood in a tunnel for five hours on Sunday night. Nobody was "
    "hurt. The company blames a broken cable and offers to pay for the tickets.",
    "Rain.",
    "The museum shows letters that sailors wrote to their families in the last war, some of which "
    "were never sent. The exhibition is open until the end of June, and on Mondays it is free.",
)

Tokens = list[list[int]]
Generate = Callable[[Sequence[Sequence[int]]], Tokens]


def by_transformers(model: T5ForConditionalGeneration, beams: int, tokens: int) -> Generate:
    def generate(sources: Sequence[Sequence[int]]) -> Tokens:
        longest = max(map(len, sources))
        ids = torch.tensor([[*one, *[0] * (longest - len(one))] for one in sources])
        mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in sources])
        with torch.inference_mode():
            found = model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=False,
                num_beams=beams,
                min_new_tokens=tokens,
                max_new_tokens=tokens,
            )
        rows: Tokens = found[:, 1:].tolist()
        return rows

    return generate


def by_engine(engine: Seq2SeqEngine, decoding: Plan) -> Generate:
    def generate(sources: Sequence[Sequence[int]]) -> Tokens:
        jobs = [Job("all", i, one, decoding, attention=False) for i, one in enumerate(sources)]
        engine.submit(jobs)
        found: dict[int, Sequence[int]] = {}
        while not engine.idle:
            for event in engine.turn():
                if event.found is not None:
                    found[event.job.index] = event.found.tokens
        return [list(found[i]) for i in range(len(sources))]

    return generate


def contenders(model: InstalledModel, tokens: int, threads: int) -> dict[tuple[str, int], Generate]:
    """By name and beams."""
    defaults = read_defaults(model.path)
    network = T5ForConditionalGeneration.from_pretrained(model.path, dtype=torch.float32).eval()
    found = {(REFERENCE, beams): by_transformers(network, beams, tokens) for beams in (1, 4)}
    for precision in PRECISIONS:
        folder = build_seq2seq_once(model, precision, Settings().home, Silent())
        engine = Seq2SeqEngine(load_seq2seq(folder, tokens, threads), SLOTS, 8192)
        for beams in (1, 4):
            asked = Decoding(max_tokens=tokens, min_tokens=tokens, num_beams=beams)
            limits = Limits(SLOTS, tokens)
            decoding = plan(asked, defaults.general, defaults.special, limits, seed=0)
            found[precision, beams] = by_engine(engine, decoding)
    return found


def tokens_per_second(generate: Generate, sources: Sequence[Sequence[int]], batch: int) -> float:
    started = time.perf_counter()
    made = 0
    for start in range(0, len(sources), batch):
        made += sum(map(len, generate(sources[start : start + batch])))
    return made / (time.perf_counter() - started)


def table_of(speeds: dict[str, dict[str, float]]) -> Table:
    cases = list(speeds[REFERENCE])
    table = Table("tokens/s", *cases, title=f"{CARD}: times {REFERENCE} in brackets")
    for name, own in speeds.items():
        cells = (f"{own[case]:.0f} ({own[case] / speeds[REFERENCE][case]:.2f})" for case in cases)
        table.add_row(name, *cells)
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="of each contender; 0: all cores")
    parser.add_argument("--tokens", type=int, default=32, help="of every output")
    options = parser.parse_args()
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(options.threads or os.cpu_count() or 1)
    model = Garden(Settings().home).install(CARD)
    tokenizer = Tokenizer.from_file(str(model.path / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    sources = [tokenizer.encode(text).ids for text in TEXTS]
    runners = contenders(model, options.tokens, options.threads)
    same = {
        beams: runners["fp32", beams](sources) == runners[REFERENCE, beams](sources)
        for beams in (1, 4)
    }
    measured: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        for beams in (1, 4):
            for batch in (1, 8):
                for (name, width), generate in runners.items():
                    if width == beams:
                        case = f"batch {batch}, " + ("greedy" if beams == 1 else f"{beams} beams")
                        measured[name, case].append(tokens_per_second(generate, sources, batch))
    speeds: dict[str, dict[str, float]] = defaultdict(dict)
    for (name, case), rounds in measured.items():
        speeds[name][case] = statistics.median(rounds)
    report(speeds, same, options)
    return 0 if all(same.values()) else 1


def report(
    speeds: dict[str, dict[str, float]], same: dict[int, bool], options: argparse.Namespace
) -> None:
    RESULTS.mkdir(exist_ok=True)
    record = {
        "card": CARD,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "rounds": options.rounds,
        "threads": options.threads,
        "tokens": options.tokens,
        "goal": GOAL,
        "same_tokens_as_transformers": {f"{beams} beams": same[beams] for beams in same},
        "tokens_per_s": speeds,
    }
    (RESULTS / "seq2seq.json").write_text(json.dumps(record, indent=2) + "\n")
    with (RESULTS / "seq2seq.txt").open("w") as file:
        for console in (Console(), Console(file=file, width=100)):
            console.print(
                f"{record['machine']}, {record['made_at'][:10]}, medians of {options.rounds} "
                f"rounds, {options.tokens} tokens an output"
            )
            console.print(table_of(speeds))
            for beams, equal in same.items():
                found = "the same tokens as" if equal else "OTHER TOKENS THAN"
                console.print(f"fp32 with {beams} beam(s) finds {found} transformers")
            for case, reference in speeds[REFERENCE].items():
                best = max(PRECISIONS, key=lambda name: speeds[name][case])
                same_precision, fastest = (speeds[n][case] / reference for n in ("fp32", best))
                reached = "reached" if same_precision >= GOAL else "missed"
                console.print(
                    f"{case}: fp32 is {same_precision:.2f} times transformers (goal {GOAL:.0f}: "
                    f"{reached}), {best} {fastest:.2f} times"
                )


if __name__ == "__main__":
    sys.exit(main())
