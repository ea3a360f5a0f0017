"""Each contender as a running process (or several) that answers `Ask`s."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil

from benchmarks.text.asking import Ask, Told
from benchmarks.text.engine_worker import END_IDS

CHECKOUT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 240.0


def resident_mib(pids: Sequence[int]) -> float:
    found = 0
    for pid in pids:
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            found += process.memory_info().rss
    return found / 2**20


class Worker:
    """A process that takes JSON lines."""

    def __init__(self, name: str, quality: str, command: Sequence[str]) -> None:
        self.name, self.quality = name, quality
        self.process = subprocess.Popen(
            command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._read()  # ready

    def run(self, asks: list[Ask]) -> list[Told]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([ask.as_json() for ask in asks]) + "\n")
        self.process.stdin.flush()
        return [Told(one["sent_s"], tuple(one["tokens_s"])) for one in self._read()]

    def memory_mib(self) -> float:
        return resident_mib([self.process.pid])

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)

    def _read(self) -> list[dict[str, object]]:
        assert self.process.stdout is not None
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"{self.name} ended with status {self.process.wait()}")
            if line.startswith(("{", "[")):
                found: list[dict[str, object]] = json.loads(line)
                return found


def engine(name: str, quality: str, **options: object) -> Worker:
    """Our engine alone."""
    command = [sys.executable, "-m", "benchmarks.text.engine_worker", json.dumps(options)]
    return Worker(name, quality, command)


class OverHttp(ABC):
    """Streams over HTTP; `body` and `tokens` are the server's dialect."""

    path = ""

    def __init__(self, name: str, quality: str, url: str, key: str, pids: Sequence[int]) -> None:
        self.name, self.quality = name, quality
        self._url, self._key, self._pids = url, key, pids

    @abstractmethod
    def body(self, ask: Ask) -> dict[str, object]:
        """The request in the server's dialect."""

    @abstractmethod
    def tokens(self, event: dict[str, object]) -> int:
        """In one event of the stream."""

    def run(self, asks: list[Ask]) -> list[Told]:
        return asyncio.run(self._all(asks))

    def memory_mib(self) -> float:
        return resident_mib(self._pids)

    async def _all(self, asks: list[Ask]) -> list[Told]:
        limits = httpx2.Limits(max_connections=256)
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        async with httpx2.AsyncClient(
            base_url=self._url, headers=headers, timeout=300, limits=limits, trust_env=False
        ) as client:
            began = time.perf_counter()
            return list(await asyncio.gather(*(self._one(client, ask, began) for ask in asks)))

    async def _one(self, client: httpx2.AsyncClient, ask: Ask, began: float) -> Told:
        await asyncio.sleep(ask.at_s)
        sent = time.perf_counter() - began
        times: list[float] = []
        async with client.stream("POST", self.path, json=self.body(ask)) as reply:
            reply.raise_for_status()
            async for line in reply.aiter_lines():
                if line.startswith("data: {"):
                    now = time.perf_counter() - began
                    times += [now] * self.tokens(json.loads(line[6:]))
        return Told(sent, tuple(times))


class Stack(OverHttp):
    """The whole platform: HAProxy, gateway, router, Serve, replica."""

    path = "/v1/completions"

    def body(self, ask: Ask) -> dict[str, object]:
        return {
            "model": "gecko",
            "prompt": list(ask.prompt),
            "max_tokens": ask.max_tokens,
            "temperature": ask.temperature,
            "stream": True,
            "logit_bias": {str(token): -100 for token in END_IDS},
        }

    def tokens(self, event: dict[str, object]) -> int:
        """One a chunk, nearly always: a token's text is sent when it is there."""
        choices = event["choices"]
        assert isinstance(choices, list)
        return sum(1 for choice in choices if choice["text"])


class LlamaServer(OverHttp):
    """llama.cpp's server, `-np 16`."""

    path = "/completion"

    def body(self, ask: Ask) -> dict[str, object]:
        return {
            "prompt": list(ask.prompt),
            "n_predict": ask.max_tokens,
            "temperature": ask.temperature,
            "ignore_eos": True,
            "cache_prompt": ask.cached,
            "stream": True,
            "return_tokens": True,
        }

    def tokens(self, event: dict[str, object]) -> int:
        found = event.get("tokens") or []
        assert isinstance(found, list)
        return len(found)


@contextmanager
def whole_stack(port: int, home: Path, profile: Path) -> Iterator[Stack]:
    environment = {
        **os.environ,
        "BESTIARY_PORT": str(port),
        "BESTIARY_HOME": str(home),
        "BESTIARY_PROFILE": str(profile),
    }
    command = [sys.executable, "-m", "bestiary.cli.main"]
    subprocess.run([*command, "up", "--detach", "--wait"], env=environment, check=True)
    try:
        key = (home / "key").read_text().strip()
        replicas = [
            process.pid
            for process in psutil.process_iter()
            if process.name().startswith("ray::ServeRepl") or process.name() == "haproxy"
        ]
        yield Stack("whole stack", "int8", f"http://127.0.0.1:{port}", key, replicas)
    finally:
        subprocess.run([*command, "down"], env=environment, check=True)


@contextmanager
def llama_server(binary: Path, model: Path, quality: str) -> Iterator[LlamaServer]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        str(binary), "-m", str(model), "-c", str(16 * 2048), "-np", "16", "-t", "2", "-tb", "2",
        "--host", "127.0.0.1", "--port", str(port), "--no-webui", "-b", "2048", "-ub", "512",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                if httpx2.get(f"{url}/health", trust_env=False).status_code == 200:
                    break
            except httpx2.HTTPError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{binary} does not serve {model}")
            time.sleep(0.2)
        yield LlamaServer(f"llama-server {quality}", quality, url, "", [process.pid])
    finally:
        process.terminate()
        process.wait()
