"""Where the client finds the platform and its key, and whom it never shows the key."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripted_server import ScriptedServer, chat_reply

from bestiary_client import Bestiary, ConfigurationError, Timeout
from bestiary_client._settings import settings


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BESTIARY_HOME", str(tmp_path))
    path = tmp_path / "key"
    path.write_text("sk-on-disk\n")
    return path


@pytest.mark.usefixtures("key_file")
@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost", "http://[::1]:9"])
def test_the_key_on_disk_is_for_this_machine(url: str) -> None:
    assert settings(url, None).api_key == "sk-on-disk"


@pytest.mark.usefixtures("key_file")
@pytest.mark.parametrize(
    "url", ["https://ai.example.com", "http://10.0.0.7:8000", "http://localhost.example.com"]
)
def test_the_key_on_disk_goes_to_nobody_else(url: str) -> None:
    assert settings(url, None).api_key is None


@pytest.mark.usefixtures("key_file")
def test_an_argument_beats_the_environment_and_that_beats_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BESTIARY_API_KEY", "sk-env")
    monkeypatch.setenv("BESTIARY_URL", "http://127.0.0.1:9")
    assert settings(None, None).api_key == "sk-env"
    assert settings(None, "sk-arg").api_key == "sk-arg"
    assert settings(None, None).url == "http://127.0.0.1:9"
    assert settings("http://127.0.0.1:7", None).url == "http://127.0.0.1:7"


def test_the_port_of_this_machines_platform_may_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESTIARY_PORT", "8123")
    assert settings(None, None).url == "http://127.0.0.1:8123"


def test_nothing_set_is_the_laptop_without_a_key() -> None:
    found = settings(None, None)
    assert (found.url, found.api_key) == ("http://127.0.0.1:8000", None)


@pytest.mark.parametrize("url", ["http://h:1/", "http://h:1/v1", "http://h:1/v1/", "http://h:1"])
def test_the_version_may_be_part_of_the_url(url: str) -> None:
    assert settings(url, None).url == "http://h:1"


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x", "http://", "x"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        settings(url, None)


@pytest.mark.parametrize("key", ["sk\n1", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError):
        Bestiary(api_key=key)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_timeout_must_be_over_zero(seconds: float) -> None:
    with pytest.raises(ConfigurationError):
        Bestiary(timeout=seconds)
    with pytest.raises(ConfigurationError):
        Timeout(read=seconds)


def test_no_key_sends_no_header(server: ScriptedServer) -> None:
    server.will(chat_reply())
    with Bestiary(base_url=server.url) as client:
        client.chat("hi")
    assert "authorization" not in server.got[0].headers
