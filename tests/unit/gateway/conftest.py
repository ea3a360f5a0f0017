"""Fixtures for the gateway's tests: a real database and application, a fake router."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parent))

from gateway_fakes import (
    RUNNING,
    FakeDispatcher,
    FakeSink,
    database_url,
    gateway_args,
    no_targets,
)

from bestiary.profile.models import Gateway, Limits
from bestiary.state.database import Database
from bestiary.state.keys import Keys, KeyScope
from bestiary.state.upgrade import upgrade
from services.gateway.application import Collaborators, gateway_application


@dataclass
class Door:
    """A gateway under test: its client has a good key."""

    client: TestClient
    router: FakeDispatcher
    keys: Keys
    sink: FakeSink
    secret: str
    others: Collaborators


@pytest.fixture
def limits() -> Limits:
    """Overridden where a test needs other bounds."""
    return Limits(max_body_mb=0.25, request_timeout_s=20)


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Keys]:
    upgrade(database_url(tmp_path))
    database = Database(database_url(tmp_path))
    yield Keys(database)
    database.close()


@pytest.fixture
def door(keys: Keys, limits: Limits) -> Iterator[Door]:
    args = gateway_args(Gateway(limits=limits))
    router, sink = FakeDispatcher(args), FakeSink()
    secret = keys.create("tests", scopes=[KeyScope.INFERENCE]).secret
    others = Collaborators(router, lambda: RUNNING, keys.verify, sink, no_targets)
    headers = {"authorization": f"Bearer {secret}"}
    with TestClient(gateway_application(args, others), headers=headers) as client:
        yield Door(client, router, keys, sink, secret, others)
