"""Sixteen clients at once, one text a request: a service, a blocking model, or the whole stack.

Each client sends its next text when it has the answer to the one before. Knows no model and no
process; `encoder.py` brings those.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.load import Target, run_each

CLIENTS = 16
REPEATS = 3  # of all texts, in one measurement


@dataclass(frozen=True)
class Served:
    """`per_s` texts; the latencies of single requests in ms."""

    per_s: float
    p50_ms: float
    p99_ms: float

    def values(self) -> dict[str, float]:
        return asdict(self)


async def with_clients(ask: Callable[[str], Awaitable[object]], texts: Sequence[str]) -> Served:
    left = iter(list(texts) * REPEATS)
    taken: list[float] = []

    async def client() -> None:
        for text in left:
            sent = time.perf_counter()
            await ask(text)
            taken.append(time.perf_counter() - sent)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return _served(taken, time.perf_counter() - began)


async def with_threads(ask: Callable[[str], object], texts: Sequence[str]) -> Served:
    """For what blocks: a thread for each client."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(CLIENTS) as threads:
        return await with_clients(lambda text: loop.run_in_executor(threads, ask, text), texts)


async def over_http(target: Target, model: str, texts: Sequence[str]) -> Served:
    bodies = [{"model": model, "input": text} for text in texts] * REPEATS
    found = await run_each(target, "/v1/embeddings", bodies, clients=CLIENTS)
    return _served(list(found.first_byte_s), found.seconds)


def _served(taken: Sequence[float], seconds: float) -> Served:
    p50, p99 = np.percentile(np.array(taken) * 1e3, [50, 99])
    return Served(len(taken) / seconds, float(p50), float(p99))
