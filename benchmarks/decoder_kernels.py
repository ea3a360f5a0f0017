"""How fast are the decoder graphs themselves? Precisions interleaved, engine and Serve left out.

    python -m benchmarks.decoder_kernels [--card smollm2-135m-instruct] [--rounds 3]

Prints decoded tokens/s at 1, 4 and 16 rows (64 tokens of past), prefilled tokens/s for a
prompt of 64 tokens, and load time. The best of the rounds counts, because the machine may be
shared; rounds are interleaved over the precisions, so that they share its moods.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table

from bestiary.garden import Garden
from bestiary.profile.models import TextEngine
from bestiary.progress import Silent
from bestiary.settings import Settings
from deployments.kernels.decoder import build_decoder_once, open_decoder
from deployments.kernels.decoder_session import DecoderSession

PRECISIONS = ("int8", "fp32")
ROWS = (1, 4, 16)
PAST, STEPS = 64, 16


def per_second(run: Callable[[], None], tokens: int) -> float:
    started = time.perf_counter()
    run()
    return tokens / (time.perf_counter() - started)


def decode(decoder: DecoderSession, rows: int) -> None:
    ids = np.ones((rows, 1), np.int64)
    for step in range(STEPS):
        decoder.run(0, ids, np.full(rows, PAST + step, np.int32))


def prefill(decoder: DecoderSession) -> None:
    decoder.run(0, np.ones((1, PAST), np.int64), np.zeros(1, np.int32))


def measure(decoder: DecoderSession) -> dict[str, float]:
    """One round, after a run of each shape that does not count."""
    found = {}
    for rows in ROWS:
        decode(decoder, rows)
        found[f"decode, {rows} rows"] = per_second(lambda n=rows: decode(decoder, n), rows * STEPS)
    prefill(decoder)
    found["prefill"] = per_second(lambda: prefill(decoder), PAST)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--card", default="smollm2-135m-instruct")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    home = Settings().home
    model = Garden(home).install(options.card)
    decoders, best = {}, {}
    for precision in PRECISIONS:
        engine = TextEngine.model_validate({"precision": precision, "slots": max(ROWS)})
        build_decoder_once(model, engine, home, Silent())
        started = time.perf_counter()
        decoders[precision] = open_decoder(model, engine, 0, home, Silent())
        best[precision] = {"load, s": time.perf_counter() - started}
    for _ in range(options.rounds):
        for precision, decoder in decoders.items():
            for name, value in measure(decoder).items():
                best[precision][name] = max(value, best[precision].get(name, 0.0))
    table = Table("tokens/s", *PRECISIONS, title=options.card)
    for name in best[PRECISIONS[0]]:
        table.add_row(name, *(f"{best[precision][name]:.1f}" for precision in PRECISIONS))
    Console().print(table)


if __name__ == "__main__":
    main()
