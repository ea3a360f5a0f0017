"""Clients of one contender, and what they measure. Knows HTTP and clocks, no models."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
import numpy as np

from benchmarks.images.wire import Wish

READY_TIMEOUT_S = 600.0
TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Figures:
    images_per_s: float
    p50_ms: float
    p99_ms: float


class Contender:
    """A worker process. `module` is run with the port first."""

    def __init__(
        self, name: str, python: Path, module: str, port: int, args: Sequence[str]
    ) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        command = [str(python), "-m", module, str(port), *args]
        offline = os.environ | {"HF_HUB_OFFLINE": "1"}
        # A session of its own: LitServe leaves workers behind where only its parent is told.
        self._process = subprocess.Popen(command, env=offline, start_new_session=True)

    def wait(self, probe: Wish) -> None:
        """Until it answers. Raises RuntimeError where it ends or takes too long."""
        until = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self._process.returncode}")
            try:
                httpx2.post(f"{self.url}/make", json=probe.json, timeout=120).raise_for_status()
            except httpx2.HTTPStatusError as error:
                raise RuntimeError(f"{self.name} answers {error.response.text[:300]}") from error
            except httpx2.HTTPError:
                time.sleep(0.5)
            else:
                return
        raise RuntimeError(f"{self.name} is not up after {READY_TIMEOUT_S:.0f} s")

    def stop(self) -> None:
        self._tell(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._tell(signal.SIGKILL)

    def _tell(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def closed_loop(self, wishes: Sequence[Wish], clients: int) -> Figures:
        """So many clients, each asks again as soon as it is answered."""
        return asyncio.run(self._closed_loop(wishes, clients))

    def arriving(self, wishes: Sequence[Wish], gap_s: float) -> Figures:
        """One wish after the other, whether or not the last was answered. 0: all at once."""
        return asyncio.run(self._arriving(wishes, gap_s))

    async def _closed_loop(self, wishes: Sequence[Wish], clients: int) -> Figures:
        left = list(reversed(wishes))
        took: list[float] = []
        async with _client() as http:

            async def client() -> None:
                while left:
                    took.append(await self._one(http, left.pop()))

            started = time.perf_counter()
            await asyncio.gather(*(client() for _ in range(clients)))
            return _figures(took, time.perf_counter() - started)

    async def _arriving(self, wishes: Sequence[Wish], gap_s: float) -> Figures:
        async with _client() as http:

            async def late(place: int, wish: Wish) -> float:
                await asyncio.sleep(place * gap_s)
                return await self._one(http, wish)

            started = time.perf_counter()
            took = await asyncio.gather(*(late(*one) for one in enumerate(wishes)))
            return _figures(list(took), time.perf_counter() - started)

    async def _one(self, http: httpx2.AsyncClient, wish: Wish) -> float:
        started = time.perf_counter()
        reply = await http.post(f"{self.url}/make", json=wish.json)
        reply.raise_for_status()
        assert reply.content[:4] == b"\x89PNG", reply.content[:200]
        return time.perf_counter() - started


def _client() -> httpx2.AsyncClient:
    limits = httpx2.Limits(max_connections=64)
    return httpx2.AsyncClient(timeout=TIMEOUT_S, limits=limits)


def _figures(took: list[float], whole: float) -> Figures:
    p50, p99 = (float(np.percentile(took, share)) * 1e3 for share in (50, 99))
    return Figures(len(took) / whole, p50, p99)
