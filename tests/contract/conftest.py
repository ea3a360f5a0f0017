"""SDKs in virtual environments of their own, and a gateway with a fake router for them to call."""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "gateway"))

from gateway_fakes import RUNNING, FakeDispatcher, FakeSink, database_url, gateway_args, no_targets

from bestiary.state.database import Database
from bestiary.state.keys import Keys
from bestiary.state.upgrade import upgrade
from services.gateway.application import Collaborators, gateway_application

START_DEADLINE_S = 20


@dataclass(frozen=True)
class Gateway:
    url: str
    key: str


@pytest.fixture(scope="session")
def sdk_python() -> Callable[[str], Path]:
    """Requirements -> the interpreter of an environment with just them; kept between runs."""
    default = Path.home() / ".cache" / "bestiary-test-venvs"
    root = Path(os.environ.get("BESTIARY_TEST_VENVS", default))

    def interpreter(requirement: str) -> Path:
        digest = hashlib.sha256(f"{requirement} {sys.version}".encode()).hexdigest()[:8]
        folder = root / f"{requirement.split('==')[0]}-{digest}"
        root.mkdir(parents=True, exist_ok=True)
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once
            python = folder / "bin" / "python"
            if not (folder / "complete").exists():
                venv.create(folder, clear=True, with_pip=True)
                pip = [python, "-m", "pip", "install", "--quiet", requirement]
                subprocess.run(pip, check=True, timeout=600)
                (folder / "complete").touch()
        return python

    return interpreter


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """On a real port, in a thread of its own."""
    upgrade(database_url(tmp_path))
    database = Database(database_url(tmp_path))
    keys = Keys(database)
    args = gateway_args()
    others = Collaborators(
        FakeDispatcher(args), lambda: RUNNING, keys.verify, FakeSink(), no_targets
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(gateway_application(args, others), log_level="error", lifespan="on")
    )
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    deadline = time.monotonic() + START_DEADLINE_S
    while not server.started:
        assert time.monotonic() < deadline, "the gateway did not start"
        time.sleep(0.01)
    yield Gateway(f"http://127.0.0.1:{listener.getsockname()[1]}", keys.create("sdk").secret)
    server.should_exit = True
    thread.join(START_DEADLINE_S)
    listener.close()
    database.close()
