"""One real platform for all of these tests, started the way a user starts it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2 as httpx
import psutil
import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass
class Platform:
    """A running platform and the means to talk to it."""

    home: Path
    port: int
    environment: dict[str, str] = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        return (self.home / "key").read_text().strip()

    def command(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """`bestiary ARGUMENTS`, as a user would run it."""
        return subprocess.run(
            [sys.executable, "-m", "bestiary.cli.main", *arguments],
            env=self.environment,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {self.key}", **headers},
            timeout=120,
            trust_env=False,
        )

    def chat(self, prompt: str, *, model: str = "gecko", **body: object) -> httpx.Response:
        request = {"model": model, "messages": [{"role": "user", "content": prompt}]}
        with self.client() as client:
            return client.post("/v1/chat/completions", json={**request, **body})

    def processes(self, title: str) -> list[psutil.Process]:
        """Processes of this platform whose name or command line holds `title`."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("BESTIARY_HOME") == str(self.home)
                name = f"{process.name()} {' '.join(process.cmdline())}"
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
            if ours and title in name and process.pid != os.getpid():
                found.append(process)
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def platform(installed_home: Path) -> Iterator[Platform]:
    """`bestiary up --detach --wait` on a free port; kernels are kept in the test home."""
    port = free_port()
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "BESTIARY_"))},
        "BESTIARY_HOME": str(installed_home),
        "BESTIARY_PORT": str(port),
    }
    started = Platform(installed_home, port, environment)
    started.command("down")
    for stale in ("bindings.yaml",):
        (installed_home / stale).unlink(missing_ok=True)
    up = started.command("up", "--detach", "--wait", timeout=900)
    if up.returncode != 0:
        logs = sorted((installed_home / "logs").glob("*.log"))
        tails = "\n".join(f"== {log.name}\n{log.read_text()[-3000:]}" for log in logs)
        pytest.fail(f"the platform did not start:\n{up.stdout}\n{up.stderr}\n{tails}")
    try:
        yield started
    finally:
        down = started.command("down")
        left = started.processes("")
        assert down.returncode == 0, down.stderr
        assert left == [], f"orphans: {left}"


@pytest.fixture
def client(platform: Platform) -> Iterator[httpx.Client]:
    with platform.client() as opened:
        yield opened
