"""Every panel of the dashboard shows data of the running platform, in a real Prometheus."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.serve,
    pytest.mark.skipif(
        shutil.which("prometheus") is None, reason="no prometheus here: apt-get install prometheus"
    ),
]
CHECK = Path(__file__).resolve().parents[1] / "k8s" / "dashboard_check.py"
HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def traffic(platform) -> Iterator[None]:
    """Streams on each tier and a request that fails, over and over: rates need both."""
    stop = threading.Event()

    def drive() -> None:
        with platform.client() as client:
            while not stop.wait(0.2):
                for tier in ("gecko", "otter", "bison"):
                    body = {"model": tier, "messages": HI, "max_tokens": 8, "stream": True}
                    client.post("/v1/chat/completions", json=body)
                client.post("/v1/chat/completions", json={"model": "nobody", "messages": HI})

    thread = threading.Thread(target=drive)
    thread.start()
    yield
    stop.set()
    thread.join()


def test_every_panel_has_data(platform, traffic):
    done = subprocess.run(
        [sys.executable, CHECK, "--url", platform.url, "--timeout", "90"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
