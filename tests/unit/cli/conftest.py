"""Lets the tests here import the SDK's scripted server and the gateway's fakes.

`gateway` is the real gateway application on a loopback port, before a router without models.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "clients" / "python" / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))
sys.path.insert(0, str(Path(__file__).parent))

from loopback_gateway import LoopbackGateway  # needs the lines above


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackGateway]:
    with LoopbackGateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running
