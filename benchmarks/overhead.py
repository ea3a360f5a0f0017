"""What everything but the engine adds to a request, read from the latency receipts.

    python benchmarks/overhead.py [--streams 16] [--rounds 8]

Sends rounds of concurrent streams to a running platform (`bestiary up`) and prints, for
1 and for N streams, p50 and p99 of each stage and of the overhead: the total less the
engine's queue, prefill and decode.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from collections.abc import Sequence

from bestiary_client import AsyncBestiary, LatencyReceipt
from rich.console import Console
from rich.table import Table

PROMPT = "Tell me a short story about a fox and a lighthouse. It is story number {}."
STAGES = ("gateway", "routing", "framework", "queue", "prefill", "decode", "total")


async def one(client: AsyncBestiary, number: int) -> LatencyReceipt:
    async with client.stream_chat(
        PROMPT.format(number), model="gecko", max_tokens=64, temperature=0
    ) as stream:
        async for _ in stream:
            pass
    assert stream.receipt is not None
    return stream.receipt


async def receipts(streams: int, rounds: int) -> list[LatencyReceipt]:
    async with AsyncBestiary() as client:
        await asyncio.gather(*(one(client, n) for n in range(streams)))  # warm-up
        found: list[LatencyReceipt] = []
        for _ in range(rounds):
            found += await asyncio.gather(*(one(client, n) for n in range(streams)))
    return found


def overhead_ms(receipt: LatencyReceipt) -> float:
    return receipt.total_ms - receipt.queue_ms - receipt.prefill_ms - receipt.decode_ms


def row(values: Sequence[float]) -> tuple[str, str]:
    ranked = sorted(values)
    return f"{statistics.median(ranked):.1f}", f"{ranked[int(0.99 * (len(ranked) - 1))]:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    table = Table("stage, ms", title=f"{options.rounds} rounds of streams of 64 tokens on gecko")
    columns = []
    for streams in (1, options.streams):
        found = asyncio.run(receipts(streams, options.rounds))
        columns.append(
            [row([getattr(one, f"{stage}_ms") for one in found]) for stage in STAGES]
            + [row([overhead_ms(one) for one in found])]
        )
        table.add_column(f"{streams} stream(s), p50", justify="right")
        table.add_column("p99", justify="right")
    for stage, *cells in zip((*STAGES, "overhead"), *columns, strict=True):
        table.add_row(stage, *(figure for cell in cells for figure in cell))
    Console().print(table)


if __name__ == "__main__":
    main()
