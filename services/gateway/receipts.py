"""One exchange -> its latency receipt, its record for the metrics, and how both are written."""

from __future__ import annotations

import orjson

from bestiary.schemas.text import EngineTimings
from bestiary.telemetry.metrics import RequestRecord
from bestiary.telemetry.receipt import LatencyReceipt, receipt
from services.gateway.exchange import Exchange

_NO_ENGINE = EngineTimings()


def receipt_of(exchange: Exchange, now: float) -> LatencyReceipt:
    """`now` is the `perf_counter` at which the answer is handed over.

    The gateway's share is measured, not inferred: arrival to dispatch, and the
    router's last word to `now`. What the router needed to refuse is routing.
    """
    total = now - exchange.arrived
    if exchange.dispatched is None:
        return receipt(total_s=total, gateway_s=total, routing_s=0.0, call_s=0.0, engine=_NO_ENGINE)
    returned = exchange.returned if exchange.returned is not None else now
    gateway_s = (exchange.dispatched - exchange.arrived) + (now - returned)
    slowest = exchange.slowest
    return receipt(
        total_s=total,
        gateway_s=gateway_s,
        routing_s=slowest.routing_s if slowest else returned - exchange.dispatched,
        call_s=slowest.call_s if slowest else 0.0,
        engine=exchange.timings or _NO_ENGINE,
    )


def record_of(exchange: Exchange, status: int, now: float) -> RequestRecord:
    first, last = exchange.first_token, exchange.last_token
    gaps = exchange.longest_generation - 1
    return RequestRecord(
        dialect=exchange.dialect.name,
        status=status,
        receipt=receipt_of(exchange, now),
        decision=exchange.decision,
        answered=exchange.timings is not None,
        first_token_s=first - exchange.arrived if first is not None else None,
        inter_token_s=(last - first) / gaps if first and last and gaps > 0 else None,
        prompt_tokens=exchange.prompt_tokens,
        generation_tokens=exchange.generation_tokens,
        images=exchange.images,
    )


def route_headers(exchange: Exchange) -> dict[str, str]:
    decision = exchange.decision
    if decision is None:
        return {}
    headers = {
        "x-bestiary-model": decision.model,
        "x-bestiary-route-reason": decision.reason.value,
    }
    if decision.tier is not None:
        headers["x-bestiary-tier"] = decision.tier
    return headers


def receipt_json(exchange: Exchange, now: float) -> bytes:
    """The value of the extension field `bestiary`: `{receipt, request_id, tier, model, ...}`."""
    decision = exchange.decision
    return orjson.dumps(
        {
            "receipt": receipt_of(exchange, now).as_json(),
            "request_id": exchange.request_id,
            "tier": decision.tier if decision else None,
            "model": decision.model if decision else None,
            "route_reason": decision.reason.value if decision else None,
        }
    )


def with_field(document: bytes, value: bytes) -> bytes:
    """A JSON object's text with the field `bestiary` put at its end; not an object: unchanged."""
    if not document.endswith(b"}"):
        return document
    comma = b"" if document == b"{}" else b","
    return b"".join((document[:-1], comma, b'"bestiary":', value, b"}"))
