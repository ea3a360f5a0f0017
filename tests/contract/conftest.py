"""A gateway with a fake router for SDKs to call."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "gateway"))

from gateway_fakes import RUNNING, FakeDispatcher, FakeSink, database_url, no_targets
from image_fakes import ImageDispatcher, image_args
from tuning_fakes import tuning_args

from bestiary.garden import Garden
from bestiary.profile.models import Gateway as GatewayProfile
from bestiary.profile.models import Limits, Tuning
from bestiary.state.database import Database
from bestiary.state.keys import Keys, KeyScope
from bestiary.state.upgrade import upgrade
from services.gateway.application import Collaborators, gateway_application
from services.gateway.image_store import ImageStore
from services.tuning.service import TuningService

START_DEADLINE_S = 20


@dataclass(frozen=True)
class Gateway:
    url: str
    key: str


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    upgrade(database_url(tmp_path))
    database = Database(database_url(tmp_path))
    yield database
    database.close()


@pytest.fixture
def gateway(tmp_path: Path, database: Database) -> Iterator[Gateway]:
    keys = Keys(database)
    args = image_args(GatewayProfile(limits=Limits(max_body_mb=0.25)))
    images = ImageStore(tmp_path / "images", max_bytes=10**7, max_age_s=60)
    others = Collaborators(
        ImageDispatcher(args), lambda: RUNNING, keys.verify, FakeSink(), no_targets, images
    )
    with served(gateway_application(args, others)) as url:
        yield Gateway(url, keys.create("sdk").secret)


@pytest.fixture
def tuning_gateway(tmp_path: Path, database: Database, installed_home: Path) -> Iterator[Gateway]:
    """Keeps files and jobs; nobody trains them."""
    keys = Keys(database)
    tuning = Tuning(max_file_mb=1)
    service = TuningService(database, tmp_path / "files", Garden(installed_home), tuning)
    args = tuning_args(tuning)
    others = Collaborators(
        FakeDispatcher(args), lambda: RUNNING, keys.verify, FakeSink(), no_targets, tuning=service
    )
    with served(gateway_application(args, others)) as url:
        yield Gateway(url, keys.create("sdk", scopes=[KeyScope.TUNING]).secret)


@contextmanager
def served(application: FastAPI) -> Iterator[str]:
    """On a real port, in a thread of its own; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    deadline = time.monotonic() + START_DEADLINE_S
    while not server.started:
        assert time.monotonic() < deadline, "the gateway did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(START_DEADLINE_S)
        listener.close()
