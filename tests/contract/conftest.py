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

from gateway_fakes import RUNNING, FakeSink, database_url, no_targets
from image_fakes import ImageDispatcher, image_args

from bestiary.profile.models import Gateway as GatewayProfile
from bestiary.profile.models import Limits
from bestiary.state.database import Database
from bestiary.state.keys import Keys
from bestiary.state.upgrade import upgrade
from services.gateway.application import Collaborators, gateway_application
from services.gateway.image_store import ImageStore

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
    args = image_args(GatewayProfile(limits=Limits(max_body_mb=0.25)))
    images = ImageStore(tmp_path / "images", max_bytes=10**7, max_age_s=60)
    others = Collaborators(
        ImageDispatcher(args), lambda: RUNNING, keys.verify, FakeSink(), no_targets, images
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
