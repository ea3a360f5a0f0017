"""How fast are the decoder graphs themselves? Precisions interleaved, engine and Serve left out.

    python -m benchmarks.decoder_kernels [--card smollm2-135m-instruct] [--rounds 5]
        [--precisions int8 w8a16] [--threads 1]

Prints what each build lost against torch (its certificate), decoded tokens/s at 1, 4 and 16
rows (64 tokens of past), prefilled tokens/s for prompts of 64, 256 and 1000 tokens in one run
each, and load time. Medians over rounds that go through all precisions, so that they share
the machine's moods. With one thread its processor time is counted, not the wall's: that is
the number to compare where other work is running.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
from rich.console import Console
from rich.table import Table

from bestiary.garden import Garden, InstalledModel
from bestiary.profile.models import TextEngine
from bestiary.progress import Silent
from bestiary.settings import Settings
from deployments.kernels.certificate_file import decoder_builds
from deployments.kernels.decoder import open_decoder, prepare_decoder
from deployments.kernels.decoder_session import DecoderSession

PRECISIONS = ("fp32", "int8", "q41fast", "w8a16", "w8row", "int4")
ROWS = (1, 4, 16)
PROMPTS = (64, 256, 1000)
PAST, STEPS, CONTEXT = 64, 8, 1024


def decode(decoder: DecoderSession, rows: int) -> None:
    ids = np.ones((rows, 1), np.int64)
    for step in range(STEPS):
        decoder.run(0, ids, np.full(rows, PAST + step, np.int32))


def prefill(decoder: DecoderSession, tokens: int) -> None:
    decoder.run(0, np.arange(tokens)[np.newaxis], np.zeros(1, np.int32))


def work(decoder: DecoderSession) -> Iterator[tuple[str, int, Callable[[], None]]]:
    """What is timed: its name, its tokens, and how it is run."""
    for rows in ROWS:
        yield f"decode, {rows} rows", rows * STEPS, lambda n=rows: decode(decoder, n)
    for tokens in PROMPTS:
        yield f"prompt, {tokens}", tokens, lambda n=tokens: prefill(decoder, n)


def measure(
    decoders: dict[str, DecoderSession], rounds: int, clock: Callable[[], float]
) -> dict[str, dict[str, float]]:
    """Tokens/s by precision and work; a first round does not count."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in decoders}
    for round_number in range(rounds + 1):
        for precision, decoder in decoders.items():
            for name, tokens, run in work(decoder):
                started = clock()
                run()
                if round_number:
                    speeds = found[precision].setdefault(name, [])
                    speeds.append(tokens / (clock() - started))
    return {
        precision: {name: statistics.median(speeds) for name, speeds in of_work.items()}
        for precision, of_work in found.items()
    }


def parities(model: InstalledModel) -> dict[str, tuple[str, str]]:
    """KL and top-1 by precision."""
    return {
        build.precision: (
            f"{build.certificate.parity.kl:.4f}",
            f"{build.certificate.parity.top1:.1%}",
        )
        for build in decoder_builds(Settings().home, model.revision)
        if build.certificate is not None and build.certificate.parity is not None
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--card", default="smollm2-135m-instruct")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS)
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    options = parser.parse_args()
    home = Settings().home
    model = Garden(home).install(options.card)
    decoders, loads = {}, {}
    for precision in options.precisions:
        engine = TextEngine.model_validate(
            {"precision": precision, "slots": max(ROWS), "context": CONTEXT}
        )
        prepare_decoder(model, engine, home, Silent())
        started = time.perf_counter()
        decoders[precision] = open_decoder(model, engine, options.threads, home, Silent())
        loads[precision] = time.perf_counter() - started
    clock = time.thread_time if options.threads == 1 else time.perf_counter
    speeds = measure(decoders, options.rounds, clock)
    kept = parities(model)
    table = Table("tokens/s", *options.precisions, title=options.card)
    for row, name in enumerate(("KL, nats", "top-1")):
        table.add_row(name, *(kept[precision][row] for precision in options.precisions))
    for name in speeds[options.precisions[0]]:
        table.add_row(name, *(f"{speeds[precision][name]:.0f}" for precision in options.precisions))
    table.add_row("load, s", *(f"{loads[precision]:.2f}" for precision in options.precisions))
    Console().print(table)


if __name__ == "__main__":
    main()
