"""Lets the tests here import `scripted_server`, and keeps the machine's own settings out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from scripted_server import ScriptedServer  # needs the line above


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("BESTIARY_URL", "BESTIARY_API_KEY", "BESTIARY_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BESTIARY_HOME", str(tmp_path / "no-home"))
