"""The latency receipt: where one request's time went, as the platform measured it.

It comes in the body (`bestiary.receipt`) or as the W3C `Server-Timing` header
(https://www.w3.org/TR/server-timing/), in milliseconds either way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from bestiary_client._json import JsonObject

STAGES = ("total", "gateway", "routing", "queue", "prefill", "decode", "framework")
_ENTRY = re.compile(r"([a-z]+);dur=([0-9]+(?:\.[0-9]+)?)")


@dataclass(frozen=True)
class LatencyReceipt:
    """Durations in milliseconds. The stages add up to about `total_ms`.

    `tier` is None where a model was asked for by its own name.
    """

    total_ms: float
    gateway_ms: float = 0.0
    routing_ms: float = 0.0
    queue_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0
    framework_ms: float = 0.0
    request_id: str | None = None
    tier: str | None = None
    model: str | None = None
    route_reason: str | None = None


def receipt_of(body: JsonObject | None, headers: Mapping[str, str]) -> LatencyReceipt | None:
    """The body's is measured later and therefore preferred. None where there is neither."""
    extension = body.get("bestiary") if body else None
    told: Mapping[str, object] = extension if isinstance(extension, dict) else {}
    inner = told.get("receipt")
    stages = _numbers(inner) if isinstance(inner, dict) else _parse(headers)
    if "total" not in stages:
        return None
    durations = {f"{name}_ms": value for name, value in stages.items()}
    return LatencyReceipt(
        **durations,
        request_id=headers.get("x-request-id"),
        tier=_name(told.get("tier"), headers.get("x-bestiary-tier")),
        model=_name(told.get("model"), headers.get("x-bestiary-model")),
        route_reason=_name(told.get("route_reason"), headers.get("x-bestiary-route-reason")),
    )


def _parse(headers: Mapping[str, str]) -> dict[str, float]:
    found = _ENTRY.findall(headers.get("server-timing", ""))
    return {name: float(duration) for name, duration in found if name in STAGES}


def _numbers(stages: dict[str, object]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in stages.items()
        if name in STAGES and isinstance(value, (int, float))
    }


def _name(told: object, header: str | None) -> str | None:
    return told if isinstance(told, str) else header


_Receipts = WeakKeyDictionary[object, LatencyReceipt]
_LAST: ContextVar[_Receipts | None] = ContextVar("bestiary_client_last_receipts", default=None)


class LastReceipt:
    """The last receipt of one client, apart for each thread and each asyncio task."""

    def get(self) -> LatencyReceipt | None:
        receipts = _LAST.get()
        return receipts.get(self) if receipts else None

    def set(self, receipt: LatencyReceipt | None) -> None:
        """A copy each time: a task inherits its parent's mapping and must not write into it."""
        copy: _Receipts = WeakKeyDictionary(_LAST.get() or {})
        if receipt is None:
            copy.pop(self, None)
        else:
            copy[self] = receipt
        _LAST.set(copy)
