"""Where the platform is and with which key: arguments, then the environment, then the key file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import httpx2

from bestiary_client._errors import ConfigurationError

DEFAULT_PORT = "8000"


@dataclass(frozen=True)
class Settings:
    """`loopback`: the platform runs on this machine."""

    url: str  # without a trailing slash and without /v1
    api_key: str | None
    loopback: bool


def settings(base_url: str | None, api_key: str | None) -> Settings:
    """BESTIARY_URL and BESTIARY_API_KEY stand in for what is not given.

    Without either the URL is this machine's, at $BESTIARY_PORT or 8000.

    The key that the platform wrote on this machine ($BESTIARY_HOME/key, else
    ~/.bestiary/key) is used for a loopback URL only: it must not go to anybody else.
    Raises ConfigurationError.
    """
    given = base_url or os.environ.get("BESTIARY_URL") or _own_url()
    try:
        url = httpx2.URL(given)
    except httpx2.InvalidURL as error:
        raise ConfigurationError(f"{given!r} is not a URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(f"{given!r} is not an http:// or https:// URL")
    loopback = _is_loopback(url.host)
    key = api_key or os.environ.get("BESTIARY_API_KEY") or (_key_on_disk() if loopback else None)
    if key is not None and not (key.isascii() and key.isprintable()):
        raise ConfigurationError("the API key holds characters that no header can carry")
    return Settings(str(url).rstrip("/").removesuffix("/v1"), key, loopback)


def _own_url() -> str:
    return f"http://127.0.0.1:{os.environ.get('BESTIARY_PORT') or DEFAULT_PORT}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _key_on_disk() -> str | None:
    home = os.environ.get("BESTIARY_HOME")
    path = (Path(home) if home else Path.home() / ".bestiary") / "key"
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"cannot read the key in {path}: {error.strerror}") from error
