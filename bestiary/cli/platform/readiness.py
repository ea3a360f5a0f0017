"""Asks the gateway whether the platform answers."""

from __future__ import annotations

from dataclasses import dataclass

import httpx2 as httpx

PROBE_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Readiness:
    alive: bool  # the gateway answers at all
    ready: bool
    detail: str  # what /readyz says, or why it says nothing


def probe(url: str) -> Readiness:
    """One look at `/readyz`; never raises for a platform that is down."""
    try:
        reply = httpx.get(f"{url}/readyz", timeout=PROBE_TIMEOUT_S, trust_env=False)
    except httpx.HTTPError as error:
        return Readiness(alive=False, ready=False, detail=f"{type(error).__name__}: {error}")
    if "x-request-id" not in reply.headers:  # HAProxy's own answer while no gateway is behind it
        return Readiness(alive=False, ready=False, detail=f"HTTP {reply.status_code}, no gateway")
    return Readiness(alive=True, ready=reply.status_code == 200, detail=reply.text)
