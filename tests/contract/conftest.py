"""A gateway with a fake router for SDKs to call."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
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
