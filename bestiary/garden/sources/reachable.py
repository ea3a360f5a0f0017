"""Can a server be connected to at all? Asked before a client that would retry for minutes."""

from __future__ import annotations

import socket
import threading
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from bestiary.errors import SourceUnavailable


def require_reachable(url: str, deadline_s: float) -> None:
    """Connects to the url's host, or to the proxy that stands before it, and hangs up.

    Raises SourceUnavailable within `deadline_s`. The connection is made in a thread, since
    a name look-up has no deadline of its own.
    """
    address = _gate(url)
    faults: list[str] = []

    def connect() -> None:
        try:
            socket.create_connection(address, timeout=deadline_s).close()
        except OSError as error:
            faults.append(str(error))

    thread = threading.Thread(target=connect, name="reachable", daemon=True)
    thread.start()
    thread.join(deadline_s)
    where = f"{address[0]}:{address[1]}"
    if thread.is_alive():
        raise SourceUnavailable(f"{url}: no answer from {where} in {deadline_s:g} s")
    if faults:
        raise SourceUnavailable(f"{url}: cannot connect to {where}: {faults[0]}")


def _gate(url: str) -> tuple[str, int]:
    """Host and port that a request to `url` connects to."""
    target = urlsplit(url)
    if not target.hostname:
        raise SourceUnavailable(f"not a URL: {url}")
    proxy = getproxies().get(target.scheme)
    if proxy and not proxy_bypass(target.hostname):
        target = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return target.hostname or "", target.port or (443 if target.scheme == "https" else 80)
